rm train-labels.idx
squeeze prepare idx.yaml -o set.h5
