# Ctrl-C in the middle: exit 130, old results whole. (A script's background jobs ignore SIGINT, hence TERM: 143.)
mkdir fitted
echo old >fitted/model.onnx
squeeze fit model.onnx --data train.npz --test test.npz --device ./tiny.yaml -o fitted --batch 1 >out 2>error &
sleep 0.05
kill -TERM $!
wait $! && code=0 || code=$?
case $code in
143) [ "$(cat fitted/model.onnx)" = old ] && [ ! -s out ] ;;
0) squeeze inspect fitted/model.onnx >/dev/null ;; # was quicker
*) exit 1 ;;
esac
