/* fuzz_h5.h: bytes as instructions for building a well-formed HDF5 file with odd contents: what
 * libhdf5 accepts and our readers have to check. (Damaged files are fuzz_hdf5.c's.)
 *
 * An instruction is a byte (modulo the number of kinds), then its operands; see the table at the
 * end. What libhdf5 refuses is left out. */
#ifndef SQZ_FUZZ_H5_H
#define SQZ_FUZZ_H5_H
#include "fuzz.h"
#include <hdf5.h>
#include <string.h>

typedef struct fuzz_code { /* what is left of the input */
    const uint8_t *p;
    size_t n;
} fuzz_code;

static inline uint8_t fuzz_byte(fuzz_code *c)
{
    if (c->n == 0)
        return 0;
    c->n--;
    return *c->p++;
}

/* Names that readers look for; byte 255: the next bytes up to a 0, as they are. */
static inline const char *fuzz_name(fuzz_code *c, char room[32])
{
    static const char *const known[] = {"x",
                                        "y",
                                        "train",
                                        "valid",
                                        "test",
                                        "calib",
                                        "layout",
                                        "classes",
                                        "squeeze_data",
                                        "checksum",
                                        "divide",
                                        "mean",
                                        "std",
                                        "class_names",
                                        "channel_axis",
                                        "model_weights",
                                        "dense_1",
                                        "kernel:0",
                                        "bias:0",
                                        "gamma:0",
                                        "beta:0",
                                        "weight_names",
                                        "layer_names",
                                        "conv",
                                        "model_config",
                                        "keras_version",
                                        "backend",
                                        "moving_mean:0",
                                        "layer_names0",
                                        "layer_names1"};
    uint8_t k = fuzz_byte(c);
    size_t n = 0;
    if (k != 255)
        return known[k % SQZ_COUNT(known)];
    while (n < 31 && (k = fuzz_byte(c)))
        room[n++] = (char)k;
    room[n] = 0;
    return n ? room : "x";
}

static inline hid_t fuzz_type(uint8_t k)
{
    switch (k % 12) {
    case 0: return H5Tcopy(H5T_IEEE_F32LE);
    case 1: return H5Tcopy(H5T_IEEE_F64LE);
    case 2: return H5Tcopy(H5T_STD_U8LE);
    case 3: return H5Tcopy(H5T_STD_I64LE);
    case 4: return H5Tcopy(H5T_IEEE_F32BE);
    case 5: return H5Tcopy(H5T_STD_I16BE);
    case 6: return H5Tcopy(H5T_STD_U64LE);
    case 7: return H5Tcreate(H5T_COMPOUND, 8);
    case 8: return H5Tcopy(H5T_STD_B8LE);
    case 9: {
        hid_t t = H5Tcopy(H5T_C_S1);
        (void)H5Tset_size(t, H5T_VARIABLE);
        return t;
    }
    default: { /* 1 to 60 characters: ended by a 0, filled with 0, or with blanks */
        hid_t t = H5Tcopy(H5T_C_S1);
        (void)H5Tset_size(t, 1 + k / 4u);
        (void)H5Tset_strpad(t, k % 3 ? k % 3 == 1 ? H5T_STR_NULLPAD : H5T_STR_SPACEPAD
                                     : H5T_STR_NULLTERM);
        return t;
    }
    }
}

/* Numbers for `n` elements of a type: those of the input, then zeros. */
static inline void *fuzz_numbers(fuzz_code *c, hid_t type, size_t n, size_t take)
{
    size_t each = H5Tget_size(type);
    if (H5Tis_variable_str(type) > 0) {
        static char text[] = "text of any length";
        char **list = malloc((n + 1) * sizeof *list);
        for (size_t i = 0; list && i < n; i++)
            list[i] = text + fuzz_byte(c) % sizeof text;
        return list;
    }
    uint8_t *data = calloc(n + 1, each);
    for (size_t i = 0; data && i < n * each && i < take; i++)
        data[i] = fuzz_byte(c);
    return data;
}

static inline hid_t fuzz_space(fuzz_code *c, size_t *count)
{
    hsize_t dim[9] = {1};
    int rank = fuzz_byte(c) % 10;
    *count = 1;
    for (int i = 0; i < rank; i++) {
        dim[i < 9 ? i : 8] = fuzz_byte(c) % 12;
        *count *= (size_t)dim[i < 9 ? i : 8];
    }
    if (*count > 1u << 16 || rank == 9) {
        *count = 1;
        return H5Screate(rank == 9 ? H5S_NULL : H5S_SCALAR);
    }
    return rank ? H5Screate_simple(rank, dim, NULL) : H5Screate(H5S_SCALAR);
}

static inline void fuzz_attribute(fuzz_code *c, hid_t at)
{
    char room[32];
    size_t n;
    const char *name = fuzz_name(c, room);
    hid_t type = fuzz_type(fuzz_byte(c)), space = fuzz_space(c, &n);
    hid_t a = H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    void *data = fuzz_numbers(c, type, n, 64);
    if (a >= 0 && data)
        (void)H5Awrite(a, type, data);
    free(data);
    (void)H5Aclose(a);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
}

static inline hid_t fuzz_dataset(fuzz_code *c, hid_t at)
{
    char room[32];
    size_t n;
    const char *name = fuzz_name(c, room);
    uint8_t how = fuzz_byte(c);
    hid_t type = fuzz_type(fuzz_byte(c)), space = fuzz_space(c, &n);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t dim[H5S_MAX_RANK];
    int rank = H5Sget_simple_extent_dims(space, dim, NULL);
    for (int i = 0; i < rank; i++)
        dim[i] = dim[i] ? (dim[i] + how % 2) / (1 + how % 2) : 1;
    if ((how & 4) && rank > 0) {
        (void)H5Pset_chunk(list, rank, dim);
        (void)((how & 8) && H5Pset_deflate(list, 6));
    } else if (how & 16) {
        (void)H5Pset_layout(list, H5D_COMPACT);
    } else if (how & 32) {
        (void)H5Pset_external(list, "/etc/hostname", 0, H5F_UNLIMITED);
    }
    hid_t d = H5Dcreate2(at, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    void *data = how & 64 || how & 32 ? NULL
                                      : fuzz_numbers(c, type, n, 256); /* 64: never written */
    if (d >= 0 && data)
        (void)H5Dwrite(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    free(data);
    (void)H5Pclose(list);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    return d;
}

/* Obeys the instructions in an open file; objects stay open until it is closed. */
static inline void fuzz_obey(fuzz_code *c, hid_t file)
{
    hid_t at[8] = {file}, last = file;
    int depth = 0;
    for (int k = 0; c->n && k < 64; k++) {
        char room[32], room2[32];
        const char *name;
        hid_t made;
        switch (fuzz_byte(c) % 6) {
        case 0: /* a group, to go into */
            made = H5Gcreate2(at[depth], fuzz_name(c, room), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            if (made >= 0 && depth < 7)
                last = at[++depth] = made;
            break;
        case 1: /* out of a group */ last = at[depth -= depth > 0]; break;
        case 2: /* a dataset */
            made = fuzz_dataset(c, at[depth]);
            last = made >= 0 ? made : last;
            break;
        case 3: /* an attribute of the last object */ fuzz_attribute(c, last); break;
        case 4: /* a soft link */
            name = fuzz_name(c, room);
            (void)H5Lcreate_soft(fuzz_name(c, room2), at[depth], name, H5P_DEFAULT, H5P_DEFAULT);
            break;
        default: /* a link into another file */
            (void)H5Lcreate_external("/etc/hostname", "/x", at[depth], fuzz_name(c, room),
                                     H5P_DEFAULT, H5P_DEFAULT);
        }
    }
}

/* The file in memory; free it. NULL: libhdf5 made none. */
static inline void *fuzz_build(void (*make)(fuzz_code *c, hid_t file), fuzz_code *c, size_t *n)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    (void)H5Pset_fapl_core(access, 4096, 0);
    (void)H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    hid_t file = H5Fcreate("fuzz", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    void *image = NULL;
    ssize_t size = -1;
    if (file >= 0) {
        make(c, file);
        (void)H5Fflush(file, H5F_SCOPE_GLOBAL);
        size = H5Fget_file_image(file, NULL, 0);
    }
    if (size > 0 && (image = malloc((size_t)size)))
        size = H5Fget_file_image(file, image, (size_t)size);
    (void)H5Fclose(file);
    (void)H5Pclose(access);
    *n = size > 0 ? (size_t)size : 0;
    return image;
}
#endif
