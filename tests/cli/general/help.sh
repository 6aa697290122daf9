# Every way of asking for help prints the same.
squeeze help
squeeze --help | cmp - <(squeeze help)
squeeze -h | cmp - <(squeeze help)
