# sqz_flags: how everything of ours is compiled.
add_library(sqz_flags INTERFACE)
target_compile_options(sqz_flags INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wvla
  -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef
  $<$<C_COMPILER_ID:GNU>:-Wcast-align> # Clang's minds unaligned loads of vectors
  -ffp-contract=off -fno-math-errno
  $<$<BOOL:${SQZ_WERROR}>:-Werror> $<$<CONFIG:Release>:-O3>
  $<$<BOOL:${SQZ_ARENA_STRICT}>:-UNDEBUG>) # RelWithDebInfo turns asserts off; the dev presets want them (leak check)
target_compile_definitions(sqz_flags INTERFACE _GNU_SOURCE $<$<BOOL:${SQZ_ARENA_STRICT}>:SQZ_ARENA_STRICT>)
if(SQZ_SANITIZE)
  target_compile_options(sqz_flags INTERFACE -fsanitize=${SQZ_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(sqz_flags INTERFACE -fsanitize=${SQZ_SANITIZE})
  if(CMAKE_C_COMPILER_ID MATCHES Clang AND SQZ_SANITIZE MATCHES undefined)
    # NULL + 0, the rows of a tensor without elements: C2y (N3322) defines what every machine does
    target_compile_options(sqz_flags INTERFACE -fno-sanitize=pointer-overflow)
  endif()
else() # sanitizers keep every temporary apart
  target_compile_options(sqz_flags INTERFACE -Wframe-larger-than=32768)
endif()
if(SQZ_FUZZ) # coverage must be in the library too, or the fuzzer is blind
  target_compile_options(sqz_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
