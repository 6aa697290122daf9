# conformance/test_models.c needs data beside the repository and runs whole networks: its own label.
set_tests_properties(conformance.models PROPERTIES LABELS models)
