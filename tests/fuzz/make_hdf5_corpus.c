/* make_hdf5_corpus.c: writes the seeds of fuzz_hdf5 into a folder: small files of each kind that
 * the reader knows, in the oldest and the newest format. Run by hand after a change:
 * make_hdf5_corpus corpus/hdf5 */
#include <hdf5.h>
#include <stdio.h>

static hid_t begin(const char *folder, const char *name, int newest)
{
    char path[512];
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    if (newest)
        (void)H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    (void)H5Pset_meta_block_size(access, 256);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    (void)H5Pclose(access);
    if (file < 0)
        perror(path);
    return file;
}

/* pack: 0 contiguous, 1 chunked, 2 chunked and deflated with checksums */
static hid_t array(hid_t at, const char *name, hid_t type, int rank, const hsize_t *dim, int pack)
{
    unsigned char bytes[4096];
    hid_t space = H5Screate_simple(rank, dim, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[4];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i % 3); /* small integers, and small floats of any kind */
    for (int i = 0; i < rank; i++)
        chunk[i] = i || dim[i] < 2 ? dim[i] : dim[i] / 2;
    (void)H5Pset_obj_track_times(list, 0);
    if (pack)
        (void)H5Pset_chunk(list, rank, chunk);
    if (pack == 2) {
        (void)H5Pset_deflate(list, 6);
        (void)H5Pset_fletcher32(list);
    }
    hid_t d = H5Dcreate2(at, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    (void)H5Dwrite(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes);
    (void)H5Pclose(list);
    (void)H5Sclose(space);
    return d;
}

static void number(hid_t at, const char *name, double v)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t a = H5Acreate2(at, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    (void)H5Awrite(a, H5T_NATIVE_DOUBLE, &v);
    (void)H5Aclose(a);
    (void)H5Sclose(space);
}

static void text(hid_t at, const char *name, const char *value, size_t n)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    (void)H5Tset_size(type, n);
    hid_t a = H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    (void)H5Awrite(a, type, value);
    (void)H5Aclose(a);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
}

static void plain(const char *folder, const char *name, int newest, int pack)
{
    static const hsize_t x[] = {4, 3, 2}, y[] = {4};
    hid_t f = begin(folder, name, newest);
    (void)H5Dclose(array(f, "x", H5T_IEEE_F32LE, 3, x, pack));
    (void)H5Dclose(array(f, "y", H5T_STD_U8LE, 1, y, 0));
    (void)H5Fclose(f);
}

static void prepared(const char *folder, const char *name)
{
    static const hsize_t x[] = {2, 2, 3}, y[] = {2};
    hid_t f = begin(folder, name, 1);
    hid_t g = H5Gcreate2(f, "train", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    number(f, "squeeze_data", 1);
    number(f, "classes", 3);
    text(f, "layout", "nchw", 4);
    hid_t d = array(g, "x", H5T_STD_U8LE, 3, x, 2);
    number(d, "divide", 255);
    number(d, "channel_axis", -1);
    number(d, "mean", 0.5);
    number(d, "std", 0.25);
    (void)H5Dclose(d);
    (void)H5Dclose(array(g, "y", H5T_STD_U16LE, 1, y, 2));
    (void)H5Gclose(g);
    (void)H5Fclose(f);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: make_hdf5_corpus FOLDER\n");
        return 2;
    }
    plain(argv[1], "old.h5", 0, 0);
    plain(argv[1], "old_packed.h5", 0, 2);
    plain(argv[1], "new_chunked.h5", 1, 1);
    prepared(argv[1], "prepared.h5");
    return 0;
}
