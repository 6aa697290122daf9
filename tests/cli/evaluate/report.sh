squeeze evaluate model.onnx --data test.npz -o report.html >/dev/null
grep -q '^<!doctype html>' report.html
! grep -q 'src="\|href="' report.html # self-contained
