squeeze version
squeeze --version
squeeze version --json
