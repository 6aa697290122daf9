# Files that the library carries inside: device profiles, recipes, and Chart.js from the system's package for report.html.
# Each becomes `const unsigned char sqz_embed_<id>[]` and `const size_t sqz_embed_<id>_size`.
function(sqz_embed id file)
  set(out ${SQZ_GENERATED}/embed_${id}.c)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DID=${id} -DIN=${file} -DOUT=${out} -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${file} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
  set(SQZ_EMBED_FILES ${SQZ_EMBED_FILES} ${out} PARENT_SCOPE)
endfunction()

file(GLOB profiles CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/devices/*.yaml)
set(text "/* generated from the files in devices; do not edit */\n")
foreach(f ${profiles})
  get_filename_component(n ${f} NAME_WE)
  string(REPLACE "-" "_" id ${n})
  string(APPEND text "SQZ_DEVICE(${id}, \"${n}\")\n")
  sqz_embed(device_${id} ${f})
endforeach()
file(CONFIGURE OUTPUT ${SQZ_GENERATED}/sqz_device_list.inc CONTENT "${text}" @ONLY)

file(GLOB recipes CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/recipes/*.yaml)
set(text "/* generated from the files in recipes; do not edit */\n")
foreach(f ${recipes})
  get_filename_component(n ${f} NAME_WE)
  string(REPLACE "-" "_" id ${n})
  string(APPEND text "SQZ_RECIPE(${id}, \"${n}\")\n")
  sqz_embed(recipe_${id} ${f})
endforeach()
file(CONFIGURE OUTPUT ${SQZ_GENERATED}/sqz_recipe_list.inc CONTENT "${text}" @ONLY)

find_file(CHART_JS NAMES chart.min.js Chart.min.js PATHS /usr/share/javascript/chart.js /usr/share/nodejs/chart.js/dist
  NO_DEFAULT_PATH REQUIRED)
sqz_embed(chart_js ${CHART_JS})
