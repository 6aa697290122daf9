# conformance/test_models.c and test_keras_models.c need data beside the repository and run whole networks: their own label.
set_tests_properties(conformance.models conformance.keras_models PROPERTIES LABELS models)
target_sources(test_models PRIVATE tar.c)
target_sources(test_keras_models PRIVATE tar.c)
