bash -n <(squeeze help --bash-completion)
source <(squeeze help --bash-completion)
COMP_WORDS=(squeeze fi) COMP_CWORD=1
_squeeze squeeze fi
echo "${COMPREPLY[@]}"
COMP_WORDS=(squeeze check --ba) COMP_CWORD=2
_squeeze squeeze --ba
echo "${COMPREPLY[@]}"
