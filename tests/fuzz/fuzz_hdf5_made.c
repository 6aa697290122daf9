/* fuzz_hdf5_made.c: bytes as instructions that build a well-formed HDF5 file, read as a data set.
 */
#include "fuzz_h5.h"
#include "fuzz_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_code code = {data, n};
    size_t size;
    void *image = fuzz_build(fuzz_obey, &code, &size);
    if (image)
        (void)fuzz_set(image, size, false);
    free(image);
    return 0;
}
