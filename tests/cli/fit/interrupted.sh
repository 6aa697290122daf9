# Ctrl-C in the middle: exit 130, old results whole. (A script's background jobs ignore SIGINT, hence TERM: 143.)
# The job may be quicker than the signal: sooner and sooner, until one is caught in the middle.
mkdir fitted
for delay in 0.05 0.03 0.02 0.01 0.005 0; do
    echo old >fitted/model.onnx
    squeeze fit model.onnx --data train.npz --test test.npz --device ./tiny.yaml -o fitted --batch 1 >out 2>error &
    sleep $delay
    kill -TERM $! 2>/dev/null || true
    wait $! && code=0 || code=$?
    if [ $code = 143 ]; then
        [ "$(cat fitted/model.onnx)" = old ] && [ ! -s out ] && exit 0
        exit 1
    fi
    [ $code = 0 ] && squeeze inspect fitted/model.onnx >/dev/null
done
echo "never caught in the middle"
exit 1
