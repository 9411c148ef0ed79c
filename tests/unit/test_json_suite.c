
/*
 * RFC 8259 case by case, named after the categories of the public
 * JSONTestSuite: y_ has to be accepted, n_ refused, i_ is left to the parser.
 * What the grammar allows and we refuse on purpose is a table of its own.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../src/base/ngx_autocert_json.h"
#include "ngx_stub.h"


#define text(s)    s, sizeof(s) - 1
#define count(a)   (sizeof(a) / sizeof((a)[0]))
#define run(a, x)  test_suite_run(a, count(a), x)


typedef struct {
    const char  *name;
    const char  *data;
    size_t       len;
} test_suite_case_t;


/* A text that is made: open n times, then middle, then close n times. */

typedef struct {
    const char  *name;
    const char  *open;
    const char  *middle;
    const char  *close;
    ngx_uint_t   n;
    ngx_uint_t   accepted;
} test_suite_made_t;


static const test_suite_case_t  test_suite_y[] = {
    { "y_structure_true_in_array", text("[true]") },
    { "y_structure_whitespace_array", text(" [] ") },
    { "y_structure_all_whitespace", text("\t\r\n [\t\r\n 1\t\r\n ]\t\r\n ") },
    { "y_structure_nested_mixed", text("[{\"a\":[{\"b\":[{}]}]}]") },

    { "y_number_simple", text("[123]") },
    { "y_number_alone", text("42") },
    { "y_number_alone_zero", text("0") },
    { "y_number_alone_negative", text("-0.1") },
    { "y_number_exponent", text("[123e65]") },
    { "y_number_zero_exponent", text("[0e1]") },
    { "y_number_zero_exponent_plus", text("[0e+1]") },
    { "y_number_zero_exponent_minus", text("[0e-1]") },
    { "y_number_after_space", text("[ 4]") },
    { "y_number_close_to_zero",
      text("[-0.00000000000000000000000000000000000000000000000000000"
           "1]") },
    { "y_number_int_with_exponent", text("[20e1]") },
    { "y_number_minus_zero", text("[-0]") },
    { "y_number_minus_zero_fraction", text("[-0.0]") },
    { "y_number_minus_zero_exponent", text("[-0e0]") },
    { "y_number_negative_int", text("[-123]") },
    { "y_number_negative_one", text("[-1]") },
    { "y_number_capital_e", text("[1E22]") },
    { "y_number_capital_e_minus", text("[1E-2]") },
    { "y_number_capital_e_plus", text("[1E+2]") },
    { "y_number_real_exponent", text("[123.456e78]") },
    { "y_number_real_fraction", text("[123.456789]") },
    { "y_number_minus_exponent", text("[1e-2]") },
    { "y_number_plus_exponent", text("[1e+2]") },
    { "y_number_exponent_leading_zeros", text("[1e0001]") },
    { "y_number_fraction_trailing_zeros", text("[1.5000]") },
    { "y_number_fraction_leading_zeros", text("[1.0005]") },
    { "y_number_zero_fraction", text("[0.0]") },
    { "y_number_ten", text("[10]") },
    { "y_number_all_digits", text("[1234567890.0987654321]") },
    { "y_number_32_bit_edges", text("[2147483647,-2147483648,4294967295]") },
    { "y_number_53_bit_edges", text("[9007199254740991,-9007199254740991]") },

    { "y_string_one_to_three_byte_escapes",
      text("[\"\\u0060\\u012a\\u12AB\"]") },
    { "y_string_surrogate_pair", text("[\"\\uD801\\udc37\"]") },
    { "y_string_surrogate_pairs", text("[\"\\ud83d\\ude39\\ud83d\\udc8d\"]") },
    { "y_string_allowed_escapes", text("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]") },
    { "y_string_backslash_and_u_zero", text("[\"\\\\u0000\"]") },
    { "y_string_backslash_doublequotes", text("[\"\\\"\"]") },
    { "y_string_comment_inside", text("[\"a/*b*/c/*d//e\"]") },
    { "y_string_double_escape_a", text("[\"\\\\a\"]") },
    { "y_string_double_escape_n", text("[\"\\\\n\"]") },
    { "y_string_escaped_control", text("[\"\\u0012\"]") },
    { "y_string_escaped_noncharacter", text("[\"\\uFFFF\"]") },
    { "y_string_in_array", text("[\"asd\"]") },
    { "y_string_in_array_with_space", text("[ \"asd\"]") },
    { "y_string_last_surrogates", text("[\"\\uDBFF\\uDFFF\"]") },
    { "y_string_nbsp_escaped", text("[\"new\\u00A0line\"]") },
    { "y_string_u10ffff", text("[\"\364\217\277\277\"]") },
    { "y_string_uffff", text("[\"\357\277\277\"]") },
    { "y_string_escaped_comma", text("[\"\\u002c\"]") },
    { "y_string_pi", text("[\"\317\200\"]") },
    { "y_string_u1bfff", text("[\"\360\233\277\277\"]") },
    { "y_string_space_inside", text("[\"asd \"]") },
    { "y_string_alone_space", text("\" \"") },
    { "y_string_alone", text("\"asd\"") },
    { "y_string_alone_empty", text("\"\"") },
    { "y_string_g_clef_escaped", text("[\"\\uD834\\uDd1e\"]") },
    { "y_string_three_byte_escape", text("[\"\\u0821\"]") },
    { "y_string_two_byte_escape", text("[\"\\u0123\"]") },
    { "y_string_u2028", text("[\"\342\200\250\"]") },
    { "y_string_u2029", text("[\"\342\200\251\"]") },
    { "y_string_katakana_escaped", text("[\"\\u0061\\u30af\\u30EA\\u30b9\"]") },
    { "y_string_unescaped_del", text("[\"\177\"]") },
    { "y_string_del_inside", text("[\"a\177a\"]") },
    { "y_string_a66d", text("[\"\\uA66D\"]") },
    { "y_string_escaped_backslash_by_number", text("[\"\\u005C\"]") },
    { "y_string_escaped_quote_by_number", text("[\"\\u0022\"]") },
    { "y_string_utf8", text("[\"\342\202\254\360\235\204\236\"]") },
    { "y_string_three_byte_utf8",
      text("[\"\342\215\202\343\210\264\342\215\202\"]") },
    { "y_string_u10fffe_escaped", text("[\"\\uDBFF\\uDFFE\"]") },
    { "y_string_u200b_escaped", text("[\"\\u200B\"]") },
    { "y_string_noncharacter_fdd0", text("[\"\\uFDD0\"]") },
    { "y_string_before_surrogates", text("[\"\\ud7ff\"]") },
    { "y_string_after_surrogates", text("[\"\\ue000\"]") },
    { "y_string_before_surrogates_utf8", text("[\"\355\237\277\"]") },
    { "y_string_after_surrogates_utf8", text("[\"\356\200\200\"]") },
    { "y_string_least_of_two_bytes", text("[\"\302\200\"]") },
    { "y_string_most_of_two_bytes", text("[\"\337\277\"]") },
    { "y_string_least_of_three_bytes", text("[\"\340\240\200\"]") },
    { "y_string_least_of_four_bytes", text("[\"\360\220\200\200\"]") },
    { "y_string_brackets_inside", text("[\"[{\\\"a\\\":]},\"]") },
    { "y_string_mixed_hex_case", text("[\"\\uaBcD\"]") },
    { "y_string_bom_inside", text("[\"\357\273\277\"]") },
    { "y_string_not_normalized", text("[\"e\314\201\"]") },

    { "y_object_simple", text("{\"asd\":\"sdf\"}") },
    { "y_object_two", text("{\"asd\":\"sdf\", \"dfg\":\"fgh\"}") },
    { "y_object_empty", text("{}") },
    { "y_object_empty_key", text("{\"\":0}") },
    { "y_object_extreme_numbers",
      text("{ \"min\": -1.0e+28, \"max\": 1.0e+28 }") },
    { "y_object_long_strings",
      text("{\"x\":[{\"id\": \"xxxxxxxxxxxxxxxxxxxx\"}], \"id\": \"xx"
           "xxxxxxxxxxx\"}") },
    { "y_object_empty_array", text("{\"a\":[]}") },
    { "y_object_string_of_escapes",
      text("{\"title\":\"\\u041f\\u043e\\u043b\\u0442\\u043e\\u0440\\"
           "u0430\" }") },
    { "y_object_with_newlines", text("{\n\"a\": \"b\"\n}") },
    { "y_object_nested", text("{\"a\":{\"a\":{\"a\":1}}}") },
    { "y_object_names_differ_in_case", text("{\"a\":1,\"A\":2}") },
    { "y_object_names_are_prefixes",
      text("{\"ab\":1,\"a\":2,\"abc\":3,\"\":4}") },
    { "y_object_spaces_everywhere",
      text(" { \"a\" : 1 , \"b\" : [ 1 , 2 ] } ") },
    { "y_object_escaped_name", text("{\"a\\nb\\u0063\":1}") },
    { "y_object_utf8_name", text("{\"\303\251\":1}") },
    { "y_object_same_name_at_other_depths",
      text("{\"a\":{\"a\":1},\"b\":{\"a\":2}}") },
    { "y_object_same_name_in_siblings", text("[{\"a\":1},{\"a\":1}]") },
    { "y_object_names_differ_by_normalization",
      text("{\"\303\251\":1,\"e\314\201\":2}") },
    { "y_object_name_like_number", text("{\"1\":1}") },
    { "y_object_name_like_word",
      text("{\"null\":null,\"true\":true,\"false\":false}") },

    { "y_array_arrays_with_spaces", text("[[]   ]") },
    { "y_array_empty_string", text("[\"\"]") },
    { "y_array_empty", text("[]") },
    { "y_array_ending_with_newline", text("[\"a\"]\n") },
    { "y_array_false", text("[false]") },
    { "y_array_heterogeneous", text("[null, 1, \"1\", {}]") },
    { "y_array_null", text("[null]") },
    { "y_array_with_newline_inside", text("[1\n]") },
    { "y_array_with_leading_space", text(" [1]") },
    { "y_array_with_several_null", text("[1,null,null,null,2]") },
    { "y_array_with_trailing_space", text("[2] ") },
    { "y_array_of_empty_arrays", text("[[],[],[[],[]]]") },
    { "y_array_of_empty_objects", text("[{},{}]") },
    { "y_array_of_all_words", text("[true,false,null,true]") },
    { "y_array_tabs_between", text("[\t1\t,\t2\t]") },
    { "y_array_carriage_returns", text("[\r1\r,\r2\r]") },
    { "y_array_same_values", text("[1,1,1,\"a\",\"a\"]") },
    { "y_array_nested_16", text("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]") },

    { "y_literal_true", text("true") },
    { "y_literal_false", text("false") },
    { "y_literal_null", text("null") },
    { "y_literal_spaces_around", text(" \t\n\rnull \t\n\r") },
};


static const test_suite_case_t  test_suite_n[] = {
    { "n_structure_word_joiner", text("[\342\201\240]") },
    { "n_structure_bom_without_data", text("\357\273\277") },
    { "n_structure_half_bom", text("\357\273{}") },
    { "n_structure_angle_bracket_point", text("<.>") },
    { "n_structure_angle_bracket_null", text("[<null>]") },
    { "n_structure_array_trailing_garbage", text("[1]x") },
    { "n_structure_array_extra_close", text("[1]]") },
    { "n_structure_array_unclosed_string", text("[\"asd]") },
    { "n_structure_ascii_then_utf8", text("a\303\245") },
    { "n_structure_close_unopened_array", text("1]") },
    { "n_structure_comma_instead_of_brace", text("{\"x\": true,") },
    { "n_structure_double_array", text("[][]") },
    { "n_structure_end_array", text("]") },
    { "n_structure_end_object", text("}") },
    { "n_structure_lone_invalid_byte", text("\345") },
    { "n_structure_lone_open_bracket", text("[") },
    { "n_structure_lone_open_brace", text("{") },
    { "n_structure_no_data", text("") },
    { "n_structure_number_trailing_garbage", text("2@") },
    { "n_structure_object_followed_by_brace", text("{}}") },
    { "n_structure_object_unclosed_no_value", text("{\"\":") },
    { "n_structure_object_with_comment", text("{\"a\":/*comment*/\"b\"}") },
    { "n_structure_array_with_line_comment", text("[1//a\n]") },
    { "n_structure_array_with_hash_comment", text("[1#a\n]") },
    { "n_structure_object_trailing_garbage", text("{\"a\": true} \"x\"") },
    { "n_structure_open_array_apostrophe", text("['") },
    { "n_structure_open_array_comma", text("[,") },
    { "n_structure_open_array_open_object", text("[{") },
    { "n_structure_open_array_open_string", text("[\"a") },
    { "n_structure_open_array_string", text("[\"a\"") },
    { "n_structure_open_object_close_array", text("{]") },
    { "n_structure_open_object_comma", text("{,") },
    { "n_structure_open_object_open_array", text("{[") },
    { "n_structure_open_object_open_string", text("{\"a") },
    { "n_structure_open_object_apostrophe", text("{'a'") },
    { "n_structure_open_open", text("[\"\\{[\"\\{[\"\\{[\"\\{") },
    { "n_structure_latin1", text("\351") },
    { "n_structure_star", text("*") },
    { "n_structure_trailing_hash", text("{\"a\":\"b\"}#{}") },
    { "n_structure_uescaped_space", text("[\\u0020]") },
    { "n_structure_unclosed_array", text("[1") },
    { "n_structure_unclosed_object", text("{\"asd\":\"asd\"") },
    { "n_structure_utf8_letter", text("\303\245") },
    { "n_structure_form_feed", text("[\014]") },
    { "n_structure_vertical_tab", text("[\013]") },
    { "n_structure_next_line", text("[\302\205]") },
    { "n_structure_u2028", text("[\342\200\250]") },
    { "n_structure_nul_at_end", text("{}\000") },
    { "n_structure_nul_alone", text("\000") },
    { "n_structure_two_values", text("1 2") },
    { "n_structure_two_lines", text("{}\n{}") },
    { "n_structure_trailing_comma", text("{},") },
    { "n_structure_comma_alone", text(",") },
    { "n_structure_colon_alone", text(":") },
    { "n_structure_slash", text("/") },
    { "n_structure_record_separator", text("\036{}") },
    { "n_structure_prefix", text(")]}',\n{}") },
    { "n_structure_only_whitespace", text("\t\r\n ") },
    { "n_structure_del", text("\177") },

    { "n_number_then_nul", text("123\000") },
    { "n_number_double_plus", text("[++1234]") },
    { "n_number_plus_one", text("[+1]") },
    { "n_number_plus_inf", text("[+Inf]") },
    { "n_number_minus_leading_zero", text("[-01]") },
    { "n_number_two_points", text("[-1.0.]") },
    { "n_number_minus_two_point", text("[-2.]") },
    { "n_number_minus_nan", text("[-NaN]") },
    { "n_number_point_minus_one", text("[.-1]") },
    { "n_number_point_exponent", text("[.2e-3]") },
    { "n_number_0_1_2", text("[0.1.2]") },
    { "n_number_exponent_only_plus", text("[0.3e+]") },
    { "n_number_exponent_empty", text("[0.3e]") },
    { "n_number_0_point_exponent", text("[0.e1]") },
    { "n_number_0_capital_e_plus", text("[0E+]") },
    { "n_number_0_capital_e", text("[0E]") },
    { "n_number_0e_plus", text("[0e+]") },
    { "n_number_0e", text("[0e]") },
    { "n_number_real_e_plus", text("[1.0e+]") },
    { "n_number_real_e_minus", text("[1.0e-]") },
    { "n_number_real_e", text("[1.0e]") },
    { "n_number_with_space", text("[1 000.0]") },
    { "n_number_two_exponents", text("[1eE2]") },
    { "n_number_exponent_of_exponent", text("[1e2e3]") },
    { "n_number_exponent_fraction", text("[1e2.5]") },
    { "n_number_2_point_e_plus", text("[2.e+3]") },
    { "n_number_2_point_e_minus", text("[2.e-3]") },
    { "n_number_2_point_e", text("[2.e3]") },
    { "n_number_9_point_e_plus", text("[9.e+]") },
    { "n_number_inf", text("[Inf]") },
    { "n_number_nan", text("[NaN]") },
    { "n_number_fullwidth_digit", text("[\357\274\221]") },
    { "n_number_arabic_digit", text("[\331\241]") },
    { "n_number_expression", text("[1+2]") },
    { "n_number_hex_one_digit", text("[0x1]") },
    { "n_number_hex_two_digits", text("[0x42]") },
    { "n_number_binary", text("[0b1]") },
    { "n_number_octal_letter", text("[0o7]") },
    { "n_number_infinity", text("[Infinity]") },
    { "n_number_minus_infinity", text("[-Infinity]") },
    { "n_number_exponent_plus_minus", text("[0e+-1]") },
    { "n_number_trailing_letters", text("[-123.123foo]") },
    { "n_number_trailing_invalid_byte", text("[123\345]") },
    { "n_number_exponent_invalid_byte", text("[1e1\345]") },
    { "n_number_minus_letters", text("[-foo]") },
    { "n_number_minus_space_one", text("[- 1]") },
    { "n_number_minus_012", text("[-012]") },
    { "n_number_minus_point", text("[-.123]") },
    { "n_number_minus_one_x", text("[-1x]") },
    { "n_number_exponent_letter", text("[1ea]") },
    { "n_number_point_at_end", text("[1.]") },
    { "n_number_point_at_start", text("[.123]") },
    { "n_number_point_alone", text("[.]") },
    { "n_number_with_alpha", text("[1.2a-3]") },
    { "n_number_leading_zero", text("[012]") },
    { "n_number_double_zero", text("00") },
    { "n_number_double_minus", text("--1") },
    { "n_number_minus_alone", text("-") },
    { "n_number_point_at_end_of_text", text("1.") },
    { "n_number_e_at_end_of_text", text("1e") },
    { "n_number_e_minus_at_end_of_text", text("1e-") },
    { "n_number_underscore", text("[1_000]") },
    { "n_number_comma_decimal", text("[1,5,]") },
    { "n_number_suffix", text("[1f]") },
    { "n_number_apostrophe", text("[1'000]") },
    { "n_number_minus_at_end", text("[1-]") },
    { "n_number_leading_zero_fraction", text("[00.5]") },
    { "n_number_u2212_minus", text("[\342\210\2221]") },

    { "n_string_single_space", text(" ") },
    { "n_string_one_surrogate_then_escape", text("[\"\\uD800\\\"]") },
    { "n_string_one_surrogate_then_u", text("[\"\\uD800\\u\"]") },
    { "n_string_one_surrogate_then_u1", text("[\"\\uD800\\u1\"]") },
    { "n_string_one_surrogate_then_u1x", text("[\"\\uD800\\u1x\"]") },
    { "n_string_accent_without_quotes", text("[\303\251]") },
    { "n_string_backslash_nul", text("[\"\\\000\"]") },
    { "n_string_escape_x", text("[\"\\x00\"]") },
    { "n_string_escaped_backslash_bad", text("[\"\\\\\\\"]") },
    { "n_string_escaped_tab", text("[\"\\\t\"]") },
    { "n_string_escaped_newline", text("[\"\\\n\"]") },
    { "n_string_escaped_emoji", text("[\"\\\360\237\214\200\"]") },
    { "n_string_incomplete_escape", text("[\"\\\"]") },
    { "n_string_incomplete_escaped_character", text("[\"\\u00A\"]") },
    { "n_string_incomplete_surrogate", text("[\"\\uD834\\uDd\"]") },
    { "n_string_incomplete_surrogate_escape", text("[\"\\uD800\\uD800\\x\"]") },
    { "n_string_invalid_byte_in_escape", text("[\"\\u\345\"]") },
    { "n_string_invalid_backslash_escape", text("[\"\\a\"]") },
    { "n_string_escaped_apostrophe", text("[\"\\'\"]") },
    { "n_string_escaped_zero", text("[\"\\0\"]") },
    { "n_string_escaped_v", text("[\"\\v\"]") },
    { "n_string_capital_n", text("[\"\\N\"]") },
    { "n_string_invalid_unicode_escape", text("[\"\\uqqqq\"]") },
    { "n_string_invalid_byte_after_escape", text("[\"\\\345\"]") },
    { "n_string_leading_escape", text("[\\u0020\"asd\"]") },
    { "n_string_no_quotes_with_bad_escape", text("[\\n]") },
    { "n_string_single_doublequote", text("\"") },
    { "n_string_single_quote", text("['single quote']") },
    { "n_string_without_quotes", text("abc") },
    { "n_string_start_escape_unclosed", text("[\"\\") },
    { "n_string_nul_byte", text("[\"a\000a\"]") },
    { "n_string_newline", text("[\"new\nline\"]") },
    { "n_string_carriage_return", text("[\"new\rline\"]") },
    { "n_string_tab", text("[\"\t\"]") },
    { "n_string_control_01", text("[\"\001\"]") },
    { "n_string_control_1f", text("[\"\037\"]") },
    { "n_string_capital_u", text("\"\\UA66D\"") },
    { "n_string_garbage_after", text("\"\"x") },
    { "n_string_plus_in_escape", text("[\"\\u+123\"]") },
    { "n_string_space_in_escape", text("[\"\\u 123\"]") },
    { "n_string_minus_in_escape", text("[\"\\u-123\"]") },
    { "n_string_x_in_escape", text("[\"\\u0x12\"]") },
    { "n_string_braces_in_escape", text("[\"\\u{61}\"]") },
    { "n_string_escape_cut", text("\"\\u12") },
    { "n_string_backslash_at_end", text("\"\\") },
    { "n_string_quotes_of_backtick", text("[`a`]") },
    { "n_string_quotes_of_typographer", text("[\342\200\234a\342\200\235]") },
    { "n_string_triple_quotes", text("[\"\"\"a\"\"\"]") },
    { "n_string_concatenated", text("[\"a\"+\"b\"]") },
    { "n_string_newline_escaped_outside", text("[\\u000A\"\"]") },

    { "n_object_bad_value", text("[\"x\", truth, {\"a\"}]") },
    { "n_object_bracket_key", text("{[: \"x\"}\n") },
    { "n_object_comma_instead_of_colon", text("{\"x\", null}") },
    { "n_object_double_colon", text("{\"x\"::\"b\"}") },
    { "n_object_emoji", text("{\360\237\207\250\360\237\207\255}") },
    { "n_object_garbage_at_end", text("{\"a\":\"a\" 123}") },
    { "n_object_key_with_single_quotes", text("{key: 'value'}") },
    { "n_object_invalid_name_trailing_comma", text("{\"\271\":\"0\",}") },
    { "n_object_missing_colon", text("{\"a\" b}") },
    { "n_object_missing_key", text("{:\"b\"}") },
    { "n_object_missing_semicolon", text("{\"a\" \"b\"}") },
    { "n_object_missing_value", text("{\"a\":") },
    { "n_object_missing_value_closed", text("{\"a\":}") },
    { "n_object_no_colon", text("{\"a\"") },
    { "n_object_no_colon_closed", text("{\"a\"}") },
    { "n_object_non_string_key", text("{1:1}") },
    { "n_object_non_string_key_huge", text("{9999E9999:1}") },
    { "n_object_word_as_key", text("{null:null}") },
    { "n_object_several_trailing_commas", text("{\"id\":0,,,,,}") },
    { "n_object_single_quote", text("{'a':0}") },
    { "n_object_trailing_comma", text("{\"id\":0,}") },
    { "n_object_trailing_comment", text("{\"a\":\"b\"}/**/") },
    { "n_object_trailing_comment_open", text("{\"a\":\"b\"}/**//") },
    { "n_object_trailing_line_comment", text("{\"a\":\"b\"}//") },
    { "n_object_trailing_slash", text("{\"a\":\"b\"}/") },
    { "n_object_two_commas", text("{\"a\":\"b\",,\"c\":\"d\"}") },
    { "n_object_unquoted_key", text("{a: \"b\"}") },
    { "n_object_unterminated_value", text("{\"a\":\"a") },
    { "n_object_with_single_string", text("{ \"foo\" : \"bar\", \"a\" }") },
    { "n_object_trailing_hash", text("{\"a\":\"b\"}#") },
    { "n_object_comma_only", text("{,}") },
    { "n_object_comma_first", text("{,\"a\":1}") },
    { "n_object_closed_by_bracket", text("{\"a\":1]") },
    { "n_object_equals_sign", text("{\"a\"=1}") },
    { "n_object_arrow", text("{\"a\"=>1}") },
    { "n_object_array_as_key", text("{[]:1}") },
    { "n_object_object_as_key", text("{{}:1}") },
    { "n_object_two_values", text("{\"a\":1 \"b\":2}") },
    { "n_object_semicolon", text("{\"a\":1;\"b\":2}") },
    { "n_object_unterminated_name", text("{\"a:1}") },
    { "n_object_nul_before_name", text("{\000\"a\":1}") },

    { "n_array_1_true_without_comma", text("[1 true]") },
    { "n_array_two_strings_without_comma", text("[\"a\" \"b\"]") },
    { "n_array_invalid_utf8", text("[a\345]") },
    { "n_array_colon_instead_of_comma", text("[\"\": 1]") },
    { "n_array_comma_after_close", text("[\"\"],") },
    { "n_array_comma_and_number", text("[,1]") },
    { "n_array_double_comma", text("[1,,2]") },
    { "n_array_double_extra_comma", text("[\"x\",,]") },
    { "n_array_extra_close", text("[\"x\"]]") },
    { "n_array_extra_comma", text("[\"\",]") },
    { "n_array_incomplete", text("[\"x\"") },
    { "n_array_incomplete_invalid_value", text("[x") },
    { "n_array_inner_array_no_comma", text("[3[4]]") },
    { "n_array_inner_object_no_comma", text("[3{}]") },
    { "n_array_items_separated_by_semicolon", text("[1:2]") },
    { "n_array_just_comma", text("[,]") },
    { "n_array_just_minus", text("[-]") },
    { "n_array_missing_value", text("[   , \"\"]") },
    { "n_array_newlines_unclosed", text("[\"a\",\n4\n,1,") },
    { "n_array_number_and_comma", text("[1,]") },
    { "n_array_number_and_several_commas", text("[1,,]") },
    { "n_array_vertical_tab_and_escape", text("[\"\013a\"\\f]") },
    { "n_array_star_inside", text("[*]") },
    { "n_array_unclosed", text("[\"\"") },
    { "n_array_unclosed_trailing_comma", text("[1,") },
    { "n_array_unclosed_with_new_lines", text("[1,\n1\n,1") },
    { "n_array_unclosed_with_object_inside", text("[{}") },
    { "n_array_closed_by_brace", text("[1}") },
    { "n_array_invalid_byte", text("[\377]") },
    { "n_array_nul_byte", text("[\000]") },
    { "n_array_semicolon", text("[1;2]") },
    { "n_array_nbsp_as_space", text("[\302\2401]") },
    { "n_array_ellipsis", text("[1,...]") },
    { "n_array_parentheses", text("(1)") },
    { "n_array_spread_word", text("[nulltrue]") },

    { "n_literal_incomplete_false", text("[fals]") },
    { "n_literal_incomplete_null", text("[nul]") },
    { "n_literal_incomplete_true", text("[tru]") },
    { "n_literal_incomplete_false_at_end", text("[ true, fals") },
    { "n_literal_incomplete_null_at_end", text("[ false, nul") },
    { "n_literal_incomplete_true_at_end", text("[ false, tru") },
    { "n_literal_one_letter", text("t") },
    { "n_literal_capital_true", text("[True]") },
    { "n_literal_capitals_null", text("[NULL]") },
    { "n_literal_longer", text("truex") },
    { "n_literal_twice", text("nullnull") },
    { "n_literal_undefined", text("[undefined]") },
    { "n_literal_truth", text("[\"x\", truth]") },
    { "n_literal_nan", text("NaN") },
    { "n_literal_minus_true", text("[-true]") },
    { "n_literal_escaped", text("\\u0074rue") },
    { "n_literal_nul_inside", text("[nu\000ll]") },
};


/* a number stays a text until an integer is asked for: none is too large */

static const test_suite_case_t  test_suite_i_accepted[] = {
    { "i_number_double_huge_exponent", text("[1.5e+9999]") },
    { "i_number_huge_exponent",
      text("[0.4e00669999999999999999999999999999999999999999999999]") },
    { "i_number_negative_huge_exponent", text("[-1e+9999]") },
    { "i_number_positive_underflow", text("[123e-10000000]") },
    { "i_number_too_big_positive_int", text("[100000000000000000000]") },
    { "i_number_too_big_negative_int",
      text("[-123123123123123123123123123123]") },
    { "i_number_65_bits", text("[18446744073709551616]") },
    { "i_number_real_overflow", text("[123123e100000]") },
    { "i_number_long_fraction",
      text("[3.14159265358979323846264338327950288419716939937510]") },
};


/* nothing but UTF-8, without a mark, and no surrogate that is alone */

static const test_suite_case_t  test_suite_i_refused[] = {
    { "i_string_1st_surrogate_but_2nd_missing", text("[\"\\uDADA\"]") },
    { "i_string_1st_valid_surrogate_2nd_invalid",
      text("[\"\\uD888\\u1234\"]") },
    { "i_string_incomplete_surrogate_and_escape_valid",
      text("[\"\\uD800\\n\"]") },
    { "i_string_incomplete_surrogate_pair", text("[\"\\uDd1ea\"]") },
    { "i_string_incomplete_surrogates_escape_valid",
      text("[\"\\uD800\\uD800\\n\"]") },
    { "i_string_invalid_lonely_surrogate", text("[\"\\ud800\"]") },
    { "i_string_invalid_surrogate", text("[\"\\ud800abc\"]") },
    { "i_string_inverted_surrogates", text("[\"\\uDd1e\\uD834\"]") },
    { "i_string_lone_second_surrogate", text("[\"\\uDFAA\"]") },
    { "i_string_two_second_surrogates", text("[\"\\udc00\\udc00\"]") },
    { "i_string_two_first_surrogates", text("[\"\\ud800\\udbff\"]") },
    { "i_string_first_surrogate_and_u_e000", text("[\"\\ud800\\ue000\"]") },
    { "i_string_last_first_surrogate_and_u_e000",
      text("[\"\\udbff\\ue000\"]") },
    { "i_string_surrogate_and_utf8_surrogate",
      text("[\"\\ud800\355\260\200\"]") },
    { "i_string_invalid_utf8", text("[\"\377\"]") },
    { "i_string_iso_latin_1", text("[\"\351\"]") },
    { "i_string_lone_continuation", text("[\"\201\"]") },
    { "i_string_not_in_unicode_range", text("[\"\364\277\277\277\"]") },
    { "i_string_just_over_unicode_range", text("[\"\364\220\200\200\"]") },
    { "i_string_overlong_2_bytes", text("[\"\300\257\"]") },
    { "i_string_overlong_del", text("[\"\301\277\"]") },
    { "i_string_overlong_3_bytes", text("[\"\340\200\257\"]") },
    { "i_string_overlong_4_bytes", text("[\"\360\200\200\257\"]") },
    { "i_string_overlong_6_bytes", text("[\"\374\203\277\277\277\277\"]") },
    { "i_string_overlong_6_bytes_null",
      text("[\"\374\200\200\200\200\200\"]") },
    { "i_string_overlong_nul", text("[\"\300\200\"]") },
    { "i_string_truncated_2_bytes", text("[\"\303\"]") },
    { "i_string_truncated_3_bytes", text("[\"\342\202\"]") },
    { "i_string_truncated_4_bytes", text("[\"\360\237\207\"]") },
    { "i_string_truncated_at_e0", text("[\"\340\377\"]") },
    { "i_string_valid_then_invalid", text("[\"\346\227\245\321\210\372\"]") },
    { "i_string_utf8_surrogate", text("[\"\355\240\200\"]") },
    { "i_string_cesu8_pair", text("[\"\355\240\264\355\264\236\"]") },
    { "i_string_f5", text("[\"\365\200\200\200\"]") },

    { "i_object_key_lone_2nd_surrogate", text("{\"\\uDFAA\":0}") },
    { "i_object_invalid_utf8_name", text("{\"\377\":0}") },

    { "i_encoding_bom_before_object", text("\357\273\277{}") },
    { "i_encoding_utf16le_with_bom",
      text("\377\376[\000\"\000\351\000\"\000]\000") },
    { "i_encoding_utf16le_no_bom", text("[\000\"\000\351\000\"\000]\000") },
    { "i_encoding_utf16be_no_bom", text("\000[\000\"\000\351\000\"\000]") },
    { "i_encoding_utf16be_with_bom", text("\376\377\000[\000]") },
    { "i_encoding_utf32be", text("\000\000\000[\000\000\000]") },
    { "i_encoding_utf7", text("+AFs-1+AF0-") },
};


/*
 * Refused on purpose: of two members with one name others may take the other
 * (RFC 8259, 4); a NUL ends what C takes for a string.
 */

static const test_suite_case_t  test_suite_stricter[] = {
    { "y_string_null_escape", text("[\"\\u0000\"]") },
    { "y_string_null_escape_in_text", text("[\"a\\u0000b\"]") },

    { "y_object_duplicated_key", text("{\"a\":\"b\",\"a\":\"c\"}") },
    { "y_object_duplicated_key_and_value", text("{\"a\":\"b\",\"a\":\"b\"}") },
    { "y_object_duplicated_by_escape", text("{\"a\":1,\"\\u0061\":2}") },
    { "y_object_duplicated_empty_key", text("{\"\":1,\"\":2}") },
    { "y_object_duplicated_first_and_last",
      text("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"a\":6}") },
    { "y_object_duplicated_deep", text("{\"a\":[{\"b\":{\"c\":1,\"c\":2}}]}") },
    { "y_object_escaped_null_in_key", text("{\"foo\\u0000bar\": 42}") },
};


/* RFC 8259, 9: limits on depth, size and the number of values */

static const test_suite_made_t  test_suite_made[] = {
    { "y_structure_32_nested_arrays", "[", "", "]", 32, 1 },
    { "y_structure_32_nested_objects", "{\"a\":", "1", "}", 32, 1 },
    { "i_structure_33_nested_arrays", "[", "", "]", 33, 0 },
    { "i_structure_33_nested_objects", "{\"a\":", "1", "}", 33, 0 },
    { "i_structure_500_nested_arrays", "[", "", "]", 500, 0 },
    { "n_structure_100000_opening_arrays", "[", "", "", 100000, 0 },
    { "n_structure_open_array_object", "[{\"\":", "", "", 40000, 0 },
    { "n_structure_32_unclosed", "[", "", "", 32, 0 },
};


static ngx_uint_t
test_suite_accepts(const u_char *data, size_t len)
{
    char        *err;
    u_char      *copy;
    ngx_str_t    text;
    ngx_uint_t   accepted;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(pool);

    /* it ends where the text ends, so that ASan sees a step beyond */

    copy = malloc(len ? len : 1);
    assert_non_null(copy);
    ngx_memcpy(copy, data, len);

    text.data = copy;
    text.len = len;
    err = NULL;

    accepted = (ngx_autocert_json_parse(pool, &text, &err) != NULL);

    assert_int_equal(accepted, err == NULL);

    free(copy);
    ngx_destroy_pool(pool);

    return accepted;
}


static void
test_suite_run(const test_suite_case_t *cases, size_t n, ngx_uint_t accepted)
{
    size_t      i;
    ngx_uint_t  failed;

    failed = 0;

    for (i = 0; i < n; i++) {

        if (test_suite_accepts((u_char *) cases[i].data, cases[i].len)
            != accepted)
        {
            print_error("%s\n", cases[i].name);
            failed++;
        }
    }

    print_message("%lu cases\n", (unsigned long) n);

    assert_int_equal(failed, 0);
}


static void
test_suite_y_accepted(void **state)
{
    (void) state;

    run(test_suite_y, 1);
}


static void
test_suite_n_refused(void **state)
{
    (void) state;

    run(test_suite_n, 0);
}


static void
test_suite_i_decided(void **state)
{
    (void) state;

    run(test_suite_i_accepted, 1);
    run(test_suite_i_refused, 0);
}


static void
test_suite_y_refused_on_purpose(void **state)
{
    (void) state;

    run(test_suite_stricter, 0);
}


static void
test_suite_limits(void **state)
{
    u_char                   *buf, *p;
    ngx_uint_t                i, n;
    const test_suite_made_t  *made;

    (void) state;

    buf = malloc(NGX_AUTOCERT_JSON_SIZE);
    assert_non_null(buf);

    for (i = 0; i < count(test_suite_made); i++) {

        made = &test_suite_made[i];
        p = buf;

        for (n = 0; n < made->n; n++) {
            p = ngx_cpymem(p, made->open, strlen(made->open));
        }

        p = ngx_cpymem(p, made->middle, strlen(made->middle));

        for (n = 0; n < made->n; n++) {
            p = ngx_cpymem(p, made->close, strlen(made->close));
        }

        if (test_suite_accepts(buf, p - buf) != made->accepted) {
            fail_msg("%s", made->name);
        }
    }

    free(buf);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_suite_y_accepted),
        cmocka_unit_test(test_suite_n_refused),
        cmocka_unit_test(test_suite_i_decided),
        cmocka_unit_test(test_suite_y_refused_on_purpose),
        cmocka_unit_test(test_suite_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
