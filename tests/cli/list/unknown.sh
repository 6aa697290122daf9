squeeze list ops
