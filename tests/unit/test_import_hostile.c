/* test_import_hostile.c: every ONNX operator, at every opset, with inputs and attributes that have
 * nothing to do with it: the import hook takes the node or refuses it with a sentence. What it
 * takes is a valid graph that can be computed. */
#include "import_case.h"

static const char *const op_type[] = {"Abs",
                                      "Acos",
                                      "Acosh",
                                      "Add",
                                      "AffineGrid",
                                      "And",
                                      "ArgMax",
                                      "ArgMin",
                                      "Asin",
                                      "Asinh",
                                      "Atan",
                                      "Atanh",
                                      "Attention",
                                      "AveragePool",
                                      "BatchNormalization",
                                      "Bernoulli",
                                      "BitCast",
                                      "BitShift",
                                      "BitwiseAnd",
                                      "BitwiseNot",
                                      "BitwiseOr",
                                      "BitwiseXor",
                                      "BlackmanWindow",
                                      "Cast",
                                      "CastLike",
                                      "CausalConvWithState",
                                      "Ceil",
                                      "Celu",
                                      "CenterCropPad",
                                      "Clip",
                                      "Col2Im",
                                      "Compress",
                                      "Concat",
                                      "ConcatFromSequence",
                                      "Constant",
                                      "ConstantOfShape",
                                      "Conv",
                                      "ConvInteger",
                                      "ConvTranspose",
                                      "Cos",
                                      "Cosh",
                                      "CumProd",
                                      "CumSum",
                                      "DFT",
                                      "DeformConv",
                                      "DepthToSpace",
                                      "DequantizeLinear",
                                      "Det",
                                      "Div",
                                      "Dropout",
                                      "DynamicQuantizeLinear",
                                      "Einsum",
                                      "Elu",
                                      "Equal",
                                      "Erf",
                                      "Exp",
                                      "Expand",
                                      "EyeLike",
                                      "Flatten",
                                      "Floor",
                                      "GRU",
                                      "Gather",
                                      "GatherElements",
                                      "GatherND",
                                      "Gelu",
                                      "Gemm",
                                      "GlobalAveragePool",
                                      "GlobalLpPool",
                                      "GlobalMaxPool",
                                      "Greater",
                                      "GreaterOrEqual",
                                      "GridSample",
                                      "GroupNormalization",
                                      "HammingWindow",
                                      "HannWindow",
                                      "HardSigmoid",
                                      "HardSwish",
                                      "Hardmax",
                                      "Identity",
                                      "If",
                                      "ImageDecoder",
                                      "InstanceNormalization",
                                      "IsInf",
                                      "IsNaN",
                                      "LRN",
                                      "LSTM",
                                      "LayerNormalization",
                                      "LeakyRelu",
                                      "Less",
                                      "LessOrEqual",
                                      "LinearAttention",
                                      "Log",
                                      "LogSoftmax",
                                      "Loop",
                                      "LpNormalization",
                                      "LpPool",
                                      "MatMul",
                                      "MatMulInteger",
                                      "Max",
                                      "MaxPool",
                                      "MaxRoiPool",
                                      "MaxUnpool",
                                      "Mean",
                                      "MeanVarianceNormalization",
                                      "MelWeightMatrix",
                                      "Min",
                                      "Mish",
                                      "Mod",
                                      "Mul",
                                      "Multinomial",
                                      "Neg",
                                      "NegativeLogLikelihoodLoss",
                                      "NonMaxSuppression",
                                      "NonZero",
                                      "Not",
                                      "OneHot",
                                      "Optional",
                                      "OptionalGetElement",
                                      "OptionalHasElement",
                                      "Or",
                                      "PRelu",
                                      "Pad",
                                      "Pow",
                                      "QLinearConv",
                                      "QLinearMatMul",
                                      "QuantizeLinear",
                                      "RMSNormalization",
                                      "RNN",
                                      "RandomNormal",
                                      "RandomNormalLike",
                                      "RandomUniform",
                                      "RandomUniformLike",
                                      "Range",
                                      "Reciprocal",
                                      "ReduceL1",
                                      "ReduceL2",
                                      "ReduceLogSum",
                                      "ReduceLogSumExp",
                                      "ReduceMax",
                                      "ReduceMean",
                                      "ReduceMin",
                                      "ReduceProd",
                                      "ReduceSum",
                                      "ReduceSumSquare",
                                      "RegexFullMatch",
                                      "Relu",
                                      "Reshape",
                                      "Resize",
                                      "ReverseSequence",
                                      "RoiAlign",
                                      "RotaryEmbedding",
                                      "Round",
                                      "STFT",
                                      "Scan",
                                      "Scatter",
                                      "ScatterElements",
                                      "ScatterND",
                                      "Selu",
                                      "SequenceAt",
                                      "SequenceConstruct",
                                      "SequenceEmpty",
                                      "SequenceErase",
                                      "SequenceInsert",
                                      "SequenceLength",
                                      "SequenceMap",
                                      "Shape",
                                      "Shrink",
                                      "Sigmoid",
                                      "Sign",
                                      "Sin",
                                      "Sinh",
                                      "Size",
                                      "Slice",
                                      "Softmax",
                                      "SoftmaxCrossEntropyLoss",
                                      "Softplus",
                                      "Softsign",
                                      "SpaceToDepth",
                                      "Split",
                                      "SplitToSequence",
                                      "Sqrt",
                                      "Squeeze",
                                      "StringConcat",
                                      "StringNormalizer",
                                      "StringSplit",
                                      "Sub",
                                      "Sum",
                                      "SwiGLU",
                                      "Swish",
                                      "Tan",
                                      "Tanh",
                                      "TensorScatter",
                                      "TfIdfVectorizer",
                                      "ThresholdedRelu",
                                      "Tile",
                                      "TopK",
                                      "Transpose",
                                      "Trilu",
                                      "Unique",
                                      "Unsqueeze",
                                      "Upsample",
                                      "Where",
                                      "Xor"};
static const char *const attribute[] = {"activation",
                                        "activation_alpha",
                                        "activation_beta",
                                        "activations",
                                        "align_corners",
                                        "allowzero",
                                        "alpha",
                                        "antialias",
                                        "approximate",
                                        "auto_pad",
                                        "axes",
                                        "axis",
                                        "batch_axis",
                                        "batch_dims",
                                        "beta",
                                        "bias",
                                        "block_size",
                                        "blocksize",
                                        "body",
                                        "broadcast",
                                        "case_change_action",
                                        "ceil_mode",
                                        "center_point_box",
                                        "chunk_size",
                                        "clip",
                                        "consumed_inputs",
                                        "coordinate_transformation_mode",
                                        "count_include_pad",
                                        "cubic_coeff_a",
                                        "delimiter",
                                        "detect_negative",
                                        "detect_positive",
                                        "dilations",
                                        "direction",
                                        "directions",
                                        "dtype",
                                        "else_branch",
                                        "end",
                                        "ends",
                                        "epsilon",
                                        "equation",
                                        "exclude_outside",
                                        "exclusive",
                                        "extrapolation_value",
                                        "fmod",
                                        "gamma",
                                        "group",
                                        "height_scale",
                                        "hidden_size",
                                        "high",
                                        "ignore_index",
                                        "input_forget",
                                        "interleaved",
                                        "inverse",
                                        "is_case_sensitive",
                                        "is_causal",
                                        "is_test",
                                        "k",
                                        "keep_aspect_ratio_policy",
                                        "keepdims",
                                        "kernel_shape",
                                        "kv_num_heads",
                                        "lambd",
                                        "largest",
                                        "layout",
                                        "left_window_size",
                                        "linear_before_reset",
                                        "locale",
                                        "low",
                                        "max",
                                        "max_gram_length",
                                        "max_skip_count",
                                        "maxsplit",
                                        "mean",
                                        "min",
                                        "min_gram_length",
                                        "mode",
                                        "momentum",
                                        "nearest_mode",
                                        "new_axis",
                                        "ngram_counts",
                                        "ngram_indexes",
                                        "noop_with_empty_axes",
                                        "num_groups",
                                        "num_heads",
                                        "num_outputs",
                                        "num_scan_inputs",
                                        "offset_group",
                                        "onesided",
                                        "output_datatype",
                                        "output_dtype",
                                        "output_height",
                                        "output_padding",
                                        "output_sequence",
                                        "output_shape",
                                        "output_width",
                                        "p",
                                        "padding_mode",
                                        "paddings",
                                        "pads",
                                        "pattern",
                                        "periodic",
                                        "perm",
                                        "pixel_format",
                                        "pool_int64s",
                                        "pool_strings",
                                        "pooled_shape",
                                        "precision",
                                        "q_num_heads",
                                        "qk_matmul_output_mode",
                                        "ratio",
                                        "reduction",
                                        "reverse",
                                        "right_window_size",
                                        "rotary_embedding_dim",
                                        "round_mode",
                                        "sample_size",
                                        "sampling_ratio",
                                        "saturate",
                                        "scale",
                                        "scales",
                                        "scan_input_axes",
                                        "scan_input_directions",
                                        "scan_output_axes",
                                        "scan_output_directions",
                                        "seed",
                                        "select_last_index",
                                        "shape",
                                        "size",
                                        "softcap",
                                        "softmax_precision",
                                        "sorted",
                                        "sparse_value",
                                        "spatial",
                                        "spatial_scale",
                                        "split",
                                        "start",
                                        "starts",
                                        "stash_type",
                                        "stopwords",
                                        "storage_order",
                                        "strides",
                                        "then_branch",
                                        "time_axis",
                                        "to",
                                        "training_mode",
                                        "transA",
                                        "transB",
                                        "type",
                                        "update_rule",
                                        "upper",
                                        "value",
                                        "value_float",
                                        "value_floats",
                                        "value_int",
                                        "value_ints",
                                        "value_string",
                                        "value_strings",
                                        "weights",
                                        "width_scale"};

static const sqz_dtype types[] = {SQZ_F32, SQZ_F32, SQZ_S64, SQZ_S64,  SQZ_F16, SQZ_F64,
                                  SQZ_S8,  SQZ_U8,  SQZ_S32, SQZ_BOOL, SQZ_U64, SQZ_S4};

static void random_inputs(fixture *f, sqz_rng *rng)
{
    const unsigned n = (unsigned)sqz_rng_below(rng, SQZ_COUNT(f->in) + 1);
    while (f->n_in < n) {
        const sqz_dtype d = types[sqz_rng_below(rng, SQZ_COUNT(types))];
        sqz_shape s = {.rank = (int32_t)sqz_rng_below(rng, 5)};
        double v[625];
        if (sqz_rng_below(rng, 8) == 0) {
            left_out(f);
            continue;
        }
        for (int32_t i = 0; i < s.rank; i++)
            s.dim[i] = (int64_t)sqz_rng_below(rng, 6);
        for (size_t i = 0; i < SQZ_COUNT(v); i++)
            v[i] = (double)sqz_rng_below(rng, 9) - 3;
        if (sqz_rng_below(rng, 2))
            constant(f, d, s, v);
        else
            TEST_OK(f->ctx, sqz_graph_input(f->g, NULL, d, &s, &f->in[f->n_in++]));
    }
    while (f->n_in && f->in[f->n_in - 1] == SQZ_NONE) /* as the reader of files does */
        f->n_in--;
}

static void random_attributes(fixture *f, sqz_rng *rng, int64_t *ints, float *floats)
{
    static const char *const words[] = {"",           "LEFT",      "constant", "nearest",
                                        "SAME_UPPER", "ij,jk->ik", "add",      "tanh"};
    const unsigned n = (unsigned)sqz_rng_below(rng, SQZ_COUNT(f->attr) + 1);
    for (size_t i = 0; i < 4; i++) {
        ints[i] = (int64_t)sqz_rng_below(rng, 7) - 2;
        floats[i] = (float)sqz_rng_normal(rng);
    }
    if (sqz_rng_below(rng, 6) == 0)
        ints[sqz_rng_below(rng, 4)] = sqz_rng_below(rng, 2) ? INT64_MAX : INT64_MIN;
    for (unsigned i = 0; i < n; i++) {
        static const int kind[] = {1, 2, 2, 2, 3, 6, 7, 7};
        f->attr[f->n_attr++] = (sqz_raw_attr){
            .name = attribute[sqz_rng_below(rng, SQZ_COUNT(attribute))],
            .type = kind[sqz_rng_below(rng, SQZ_COUNT(kind))],
            .i = ints[sqz_rng_below(rng, 4)],
            .f = floats[0],
            .s = words[sqz_rng_below(rng, SQZ_COUNT(words))],
            .ints = {(uint32_t)sqz_rng_below(rng, 5), ints},
            .floats = {(uint32_t)sqz_rng_below(rng, 5), floats},
        };
    }
}

/* What the reader of files does before and after the hook. */
static sqz_status read_node(fixture *f, const char *type, int64_t opset)
{
    bool known;
    const sqz_lower *lower = sqz_lower_find("", type, opset, &known);
    const sqz_op *op = lower ? NULL : sqz_op_of_onnx(type, opset, &known);
    if (!lower && !op)
        return SQZ_E_UNSUPPORTED;
    if (op && op->n_in_min > 0 && (f->n_in == 0 || f->in[0] == SQZ_NONE))
        return SQZ_E_FORMAT;
    return import(f, type, opset);
}

static void one(sqz_rng *rng, const char *type)
{
    fixture f;
    int64_t ints[4];
    float floats[4];
    begin(&f);
    random_inputs(&f, rng);
    random_attributes(&f, rng, ints, floats);
    const sqz_status s = read_node(&f, type, 1 + (int64_t)sqz_rng_below(rng, 27));
    if (s == SQZ_E_INTERNAL)
        fail_msg("%s: %s", type, sqz_last_error(f.ctx));
    if (s == SQZ_OK) {
        TEST_OK(f.ctx, sqz_graph_verify(f.g));
        if (f.out[0] != SQZ_NONE) /* runs it, where everything is constant */
            assert_int_not_equal(sqz_fold_value(f.g, f.out[0]), SQZ_E_INTERNAL);
    }
    end(&f);
}

static void test_nonsense_is_taken_or_refused(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 41};
    for (int round = 0; round < 40; round++)
        for (size_t k = 0; k < SQZ_COUNT(op_type); k++)
            one(&rng, op_type[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nonsense_is_taken_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
