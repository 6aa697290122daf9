/* cases.h: the cases of an archive of ONNX backend tests, and what became of each. */
#ifndef SQZ_ONNX_CASES_H
#define SQZ_ONNX_CASES_H
#include "tar.h"
#include <stdbool.h>
#include <stdio.h>

typedef enum verdict {
    UNTRIED, /* the process that ran it ended before it said anything */
    RIGHT,
    WRONG,   /* ran, and computed something else */
    REFUSED, /* said that it cannot run this */
    FAILED,  /* any other sentence: it should have run, or have been refused by name */
    CRASHED, /* or took too long */
    SKIPPED,
    N_VERDICT
} verdict;
extern const char *const verdict_name[N_VERDICT];

typedef struct result { /* in memory shared with the child process that runs the case */
    verdict verdict;
    char why[1400];
} result;

typedef struct onnx_case {
    char *path;              /* SET/TAG/TEST as in the manifest */
    const tar_member *model; /* PATH/model.onnx, or light/TAG/NAME.onnx */
    bool light;              /* input is arange(n)/n, the output lies in PATH_output_0.pb */
    int tier;
    char *ops;         /* "Conv@11,Relu@6", from the manifest, or "" */
    const char *skip;  /* why it is not tried, or NULL */
    const char *known; /* why it is known to be not right, or NULL */
    result *result;
} onnx_case;

typedef struct cases {
    tar archive;
    onnx_case *list;
    size_t n;
    char *exceptions, *manifest; /* texts that the cases point into */
    result *results;             /* shared memory, n of them */
} cases;

/* Each returns NULL or what is wrong (text that stays). manifest NULL: all cases are of tier 1. */
const char *cases_open(const char *archive, const char *manifest, cases *out);
const char *cases_exceptions(cases *c, const char *path);
void cases_close(cases *c);

/* run_case.c: fills c->result, but for the verdict UNTRIED. */
void case_run(const tar *archive, const onnx_case *c, bool roundtrip);

/* report.c */
typedef struct report_options {
    bool list;      /* every case that is not right */
    bool summary;   /* those grouped by sentence and by operator */
    bool gate;      /* apply the limits */
    bool roundtrip; /* of the file, not of the numbers: other limits */
} report_options;
/* Returns the exit status. */
int report(const cases *c, const report_options *opt, FILE *out);
#endif
