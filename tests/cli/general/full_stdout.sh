# A full disk under standard output must not look like success.
for command in "version" "help" "help fit" "help --markdown" "list op" "devices" "devices --json" "inspect model.onnx"; do
    squeeze $command >/dev/full 2>error && exit 1
    [ $? -eq 3 ]
    grep -q 'cannot write to standard output' error
done
