/* recipe.h: how a model is to be quantized: the options of calib and ptq, and the passes around
 * them. Read from YAML, from the text of passes or from flags; what is run and stamped into the
 * model is always the text that sqz_recipe_text makes. */
#ifndef SQZ_RECIPE_H
#define SQZ_RECIPE_H
#include "ir/pass.h"

typedef struct sqz_recipe { /* everything lives in the arena that it was read into */
    const char *name, *doc; /* NULL: none */
    const char *before;     /* passes in front of calib, by commas: float to float; "": none */
    const char *between;    /* between calib and ptq */
    const char *after;      /* after ptq: refinements */
    void *calib, *ptq;      /* option structs of the two; calib NULL: no ranges are measured */
    bool automatic;         /* weights: auto */
    const char *max_drop;   /* as --max-drop; NULL: not asked */
} sqz_recipe;

/* calib and ptq with all defaults: int8. */
sqz_status sqz_recipe_default(sqz_arena *a, sqz_recipe *out);
/* A recipe that ships ("int4"), a YAML file (anything with a '/' or ending in .yaml or .yml), or
 * the text of passes. */
sqz_status sqz_recipe_load(sqz_arena *a, const char *what, sqz_recipe *out);
sqz_status sqz_recipe_from_text(sqz_arena *a, const char *text, sqz_recipe *out);
sqz_status sqz_recipe_from_yaml(sqz_arena *a, const char *name, const char *text, size_t bytes,
                                sqz_recipe *out);
/* A copy whose options can be set without changing the other's. */
sqz_status sqz_recipe_copy(sqz_arena *a, const sqz_recipe *from, sqz_recipe *out);

/* Sets an option of ptq, or of calib, from text. */
sqz_status sqz_recipe_set(sqz_arena *a, sqz_recipe *r, const char *pass, const char *option,
                          const char *value);
/* Values of options of ptq; "" and 0 where there is no such option. */
const char *sqz_recipe_ptq_text(const sqz_recipe *r, const char *option);
int64_t sqz_recipe_ptq_int(const sqz_recipe *r, const char *option);
/* "8", "4", "3", "2" or "auto"; "8", "16", "4", "float" or "dynamic". */
sqz_status sqz_recipe_weights(sqz_arena *a, sqz_recipe *r, const char *bits);
sqz_status sqz_recipe_activations(sqz_arena *a, sqz_recipe *r, const char *bits);
/* Adds methods, by commas, each where it belongs: "cle,gptq(damp=0.01)". */
sqz_status sqz_recipe_methods(sqz_arena *a, sqz_recipe *r, const char *list);
/* More nodes that stay float. */
sqz_status sqz_recipe_exclude(sqz_arena *a, sqz_recipe *r, const char *nodes);
/* A pass that changes weights: neither one of the canonical recipe nor calib nor ptq. */
bool sqz_pass_is_method(const sqz_pass *p);

/* The passes, in order, in the form that sqz_run_recipe takes; NULL without memory. */
char *sqz_recipe_text(sqz_arena *a, const sqz_recipe *r);
/* A short name for tables: "int8 mse", "w4 a8 g32 mse cle gptq", in memory of `a`; NULL without. */
char *sqz_recipe_title(sqz_arena *a, const sqz_recipe *r);

/* The recipes that ship (recipes/<name>.yaml), by name. */
extern const char *const sqz_recipe_names[];
extern const size_t sqz_n_recipes;
#endif
