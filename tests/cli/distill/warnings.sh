# What may spoil a training is said: uneven classes, a teacher that knows nothing, a training without gain.
notes() { jq -r '.notes[]'; }
v="--valid valid.npz --epochs 1 --batch 8"
squeeze distill model.onnx --data uneven.npz $v -o a.onnx --json | notes | grep -c 'classes are uneven: class 0 has [0-9]* training samples, class [123] only 4'
squeeze distill model.onnx --init random --data train.npz $v --epochs 1 --lr 0.000001 -o blank.onnx >/dev/null
squeeze distill model.onnx --teacher blank.onnx --data train.npz $v -o b.onnx --json | notes >said
grep -c 'the teacher is unsure of this data' said
grep -c 'the teacher is no better on `valid` than the model was before' said
squeeze distill model.onnx --data train.npz $v --lr 0.000000001 -o c.onnx --json | notes | grep -c 'training has not made the model better'
squeeze distill model.onnx --data train.npz --valid valid.npz --epochs 50 --lr 0.000000001 --patience 2 -o d.onnx --json >report
jq -r '.training.end, (.training.epochs | length)' report
