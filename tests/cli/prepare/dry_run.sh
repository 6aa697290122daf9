squeeze prepare idx.yaml -o set.h5 --dry-run >/dev/null
[ ! -e set.h5 ]
