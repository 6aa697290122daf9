/* text.h: words that printing and parsing of graphs share. docs/ir.md has the grammar. */
#ifndef SQZ_TEXT_H
#define SQZ_TEXT_H
#include "ir/op.h"

/* What g->have is called. */
static const struct sqz_have_name {
    unsigned bit;
    const char *name;
} sqz_have_names[] = {{SQZ_HAS_LAYOUT, "layout"},
                      {SQZ_HAS_FOLDED, "folded"},
                      {SQZ_HAS_RANGES, "ranges"},
                      {SQZ_HAS_QUANT, "quant"}};

/* Words that begin a line, and "_", which stands for nothing: names equal to them are quoted. */
static const char *const sqz_text_words[] = {"graph", "meta", "input", "const", "output", "_"};

/* Characters of a name that needs no quotes. */
static inline bool sqz_text_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '/' || c == ':' || c == '-';
}
#endif
