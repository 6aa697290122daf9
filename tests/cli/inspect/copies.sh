squeeze inspect model.onnx --markdown a.md --html a.html >text
grep -q '^| node | operator' a.md
grep -q '^<!doctype html>' a.html
! grep -q 'src=\|href=' a.html # self-contained
