# No room: exit 3, the old set stays, nothing is left behind.
echo old >set.h5
(ulimit -f 16 && squeeze prepare idx.yaml -o set.h5 >out 2>error) && exit 1
[ $? -eq 3 ]
grep -q 'cannot write' error
[ "$(cat set.h5)" = old ]
[ "$(ls -A | grep -c tmp)" = 0 ]
