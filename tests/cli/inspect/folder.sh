squeeze inspect .
