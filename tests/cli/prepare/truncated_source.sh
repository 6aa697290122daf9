# A cut image file: exit 2, names it, leaves the old set.
echo old >set.h5
head -c 1000 train-images.idx >cut && mv cut train-images.idx
squeeze prepare idx.yaml -o set.h5 2>error && exit 1
[ $? -eq 2 ]
grep -q 'train-images.idx' error
[ "$(cat set.h5)" = old ]
[ "$(ls -A | grep -c tmp)" = 0 ]
