# docs/cli.md is what `./dev docs` writes.
squeeze help --markdown | cmp - "$SQZ_SOURCE/docs/cli.md"
SQUEEZE=squeeze "$SQZ_SOURCE/dev" support | cmp - "$SQZ_SOURCE/docs/support.md"
