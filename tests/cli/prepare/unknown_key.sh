sed 's/^splits/slpits/' idx.yaml >broken.yaml
squeeze prepare broken.yaml -o set.h5
