# A loss without bounds ends the training: exit 1, and the sentence says where.
squeeze distill model.onnx --data train.npz --valid valid.npz --epochs 3 --batch 16 --lr 1000 --schedule constant \
    -o out.onnx --loss 'mse' >/dev/null
