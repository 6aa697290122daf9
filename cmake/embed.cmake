# cmake -DID=name -DIN=file -DOUT=file.c -P embed.cmake: a file as a C array.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
file(WRITE ${OUT} "/* generated; do not edit */\n#include <stddef.h>\nextern const unsigned char sqz_embed_${ID}[];\nextern const size_t sqz_embed_${ID}_size;\nconst unsigned char sqz_embed_${ID}[] = {\n${hex}0x00};\nconst size_t sqz_embed_${ID}_size = sizeof sqz_embed_${ID} - 1;\n")
