# The report (with Chart.js inside) has no room: exit 3, and the old one stays.
mkdir fitted
echo old | tee fitted/report.html >fitted/report.json
(ulimit -f 32 && squeeze fit model.onnx --data train.npz --test test.npz --device ./tiny.yaml -o fitted >out 2>error) && exit 1
[ $? -eq 3 ]
grep -q 'cannot write' error
[ "$(cat fitted/report.html)" = old ]
[ "$(ls -A fitted | grep -c tmp)" = 0 ]
