squeeze prepare nothing.yaml -o set.h5
