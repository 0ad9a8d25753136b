//! Every bound stands in `src/model/limits.rs`, and every one of them has a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LIMITS: &str = include_str!("../../src/model/limits.rs");

/// Which tests would fail if the bound were not kept: file under `tests/it`, or under `src`, and name.
const COVERED: &[(&str, &[&str])] = &[
    ("NAME_BYTES_MAX", &[LENGTHS]),
    ("ID_BYTES_MAX", &[LENGTHS]),
    ("CARRIED_BYTES_MAX", &[LENGTHS]),
    ("DEPTH_MAX", &["wire/bad_input.rs groups_and_parents_go_thirty_two_deep_and_no_deeper"]),
    ("COMMIT_CHANGES_MAX", &[COMMIT]),
    ("COMMIT_BYTES_MAX", &[COMMIT, "store_contract.rs a_commit_is_bounded_and_the_bound_is_exact"]),
    (
        "REQUEST_BYTES_MAX",
        &["wire/bad_input.rs a_request_of_five_mebibytes_is_refused_and_one_of_four_is_not"],
    ),
    (
        "MESSAGE_FIELDS_MAX",
        &["wire/bodies.rs a_message_of_nothing_but_empty_items_is_refused_before_it_is_read"],
    ),
    ("BODIES_BYTES_MAX", &[ALL_BODIES]),
    ("CONNECTION_BODIES_BYTES_MAX", &[BODIES, ALL_BODIES]),
    ("SMALL_BODY_BYTES_MAX", &[BODIES, ALL_BODIES]),
    (
        "BODY_SECONDS",
        &[
            PATIENCE,
            "wire/bodies.rs a_message_that_stalls_loses_its_place_long_before_its_deadline",
        ],
    ),
    ("SIDE_REQUEST_BYTES_MAX", &["wire/bodies.rs health_and_reflection_take_small_messages"]),
    ("ERROR_MESSAGE_BYTES_MAX", &[TRAILERS]),
    ("ERROR_VALUE_BYTES_MAX", &[TRAILERS]),
    ("BATCH_ITEMS_MAX", &["wire/questions.rs a_batch_is_bounded_in_items"]),
    ("CONTEXT_BYTES_MAX", &[CONTEXTS]),
    ("CONTEXT_WIRE_BYTES_MAX", &[CONTEXTS]),
    ("CONTEXT_DEPTH_MAX", &[CONTEXTS]),
    (
        "STORED_CONTEXT_DEPTH_MAX",
        &["store_contract.rs a_context_too_deep_to_be_read_back_is_refused"],
    ),
    ("LINEAGES_KEPT_MAX", &["src/store/lineage.rs the_oldest_is_forgotten_for_one_too_many"]),
    (
        "IN_FLIGHT_REQUESTS_MAX",
        &["wire/faults.rs more_requests_than_the_limit_are_shed_and_health_goes_on"],
    ),
    ("STREAMS_PER_CONNECTION_MAX", &["wire/hostile.rs one_connection_has_a_part_of_the_places"]),
    ("STREAM_WINDOW_BYTES", &["wire/limits.rs so_many_bytes_of_bodies_wait_to_be_read"]),
    ("CONNECTION_WINDOW_BYTES", &["wire/limits.rs so_many_bytes_of_bodies_wait_to_be_read"]),
    (
        "KEEPALIVE_SECONDS",
        &[PATIENCE, "wire/limits.rs a_connection_whose_pings_nobody_answers_is_dead"],
    ),
    (
        "KEEPALIVE_ANSWER_SECONDS",
        &[PATIENCE, "wire/limits.rs a_connection_whose_pings_nobody_answers_is_dead"],
    ),
    ("DRAIN_SECONDS", &[PATIENCE, "wire/limits.rs a_drain_ends_though_requests_do_not"]),
    (
        "REQUEST_SECONDS_DEFAULT",
        &[PATIENCE, "wire/hostile.rs headers_without_a_body_lose_their_place"],
    ),
    (
        "REQUEST_SECONDS_MAX",
        &[PATIENCE, "wire/hostile.rs a_deadline_of_the_callers_own_is_bounded"],
    ),
    ("CHECK_STREAMS_MAX", &["wire/check_stream.rs so_many_calls_are_open_at_once"]),
    (
        "CHECK_STREAM_QUESTION_BYTES_MAX",
        &["wire/check_stream.rs a_question_that_is_too_large_ends_the_call_and_says_where_to_ask"],
    ),
    ("STREAMS_MAX", &[SLOW_READERS]),
    ("STREAM_BUFFER_ENTRIES", &[SLOW_READERS]),
    ("STREAM_PART_ENTRIES", &[SLOW_READERS, PARTS]),
    ("STREAM_PART_MILLISECONDS", &[PARTS]),
    ("STREAM_STALL_SECONDS", &[PATIENCE, SLOW_READERS]),
    ("QUOTED_BYTES_MAX", &["wire/limits.rs what_a_message_quotes_is_cut"]),
    ("REACH_STAGES_MAX", &[STAGES]),
    ("REACH_ROLES_MAX", &[STAGES]),
    ("CHECK_STEPS_MAX", &["limits.rs a_wide_question_ends_in_an_error_not_in_a_long_wait"]),
    ("MODEL_FILE_BYTES_MAX", &["model/directory.rs what_cannot_be_a_model_is_refused"]),
    ("MODEL_FILES_MAX", &["model/directory.rs what_cannot_be_a_model_is_refused"]),
    ("YAML_DEPTH_MAX", &[YAML]),
    ("YAML_INDENT_BYTES_MAX", &[YAML]),
    ("SLUG_PART_BYTES_MAX", &["src/model/pasted/slug.rs every_label_has_a_name_that_is_one"]),
    ("MATRIX_COLUMNS_MAX", &[PERMISSIONS]),
    ("MATRIX_CELLS_MAX", &["model/limits.rs a_matrix_file_writes_so_many_cells"]),
    ("MATRIX_FILE_BYTES_MAX", &[LARGE_FILES]),
    ("MODEL_DIRECTORY_BYTES_MAX", &[LARGE_FILES]),
    ("PERMISSIONS_MAX", &[PERMISSIONS]),
    ("DELEGATED_VERBS_MAX", &[DELEGATION]),
    ("DELEGATION_LINES_MAX", &[DELEGATION]),
    ("CONSTRAINTS_MAX", &[DELEGATION]),
    ("CONSTRAINT_HOLDERS_MAX", &[DELEGATION]),
    ("PARAMETER_DEPTH_MAX", &[CONDITIONS]),
    ("SUGGESTED_BYTES_MAX", &["model/limits.rs a_near_name_is_looked_for_up_to_a_length"]),
    ("EXPRESSION_DEPTH_MAX", &[EXPRESSIONS]),
    ("EXPRESSION_EXPANDED_DEPTH_MAX", &[EXPRESSIONS]),
    ("EXPRESSION_NODES_MAX", &[EXPRESSIONS]),
    ("MODEL_TERMS_MAX", &["model/hostile.rs long_lists_that_multiply_are_refused"]),
    ("CONDITION_BYTES_MAX", &[CONDITIONS]),
    ("CONDITION_COST_MAX", &[CONDITIONS]),
    ("CONDITION_COST_PER_STEP", &["limits.rs what_conditions_cost_counts_as_steps"]),
    ("CONDITION_DEPTH_MAX", &[CONDITIONS]),
    (
        "OPEN_NAMES_MAX",
        &["limits.rs so_many_names_may_be_open_and_one_more_is_an_error_that_names_the_bound"],
    ),
    (
        "EVALUATION_NESTING_MAX",
        &["limits.rs so_many_expressions_may_be_open_and_one_more_is_an_error"],
    ),
    ("ASKED_OF_ANOTHER_NESTING", &["linked.rs a_chain_of_links_ends_at_the_bound_with_an_error"]),
    ("WAITING_COMMITS_MAX", &[WRITER]),
    ("GROUP_COMMITS_MAX", &[WRITER]),
    ("GROUP_CHANGES_MAX", &[WRITER]),
    (
        "MERGE_CHANGES_MIN",
        &["src/pdp/merger.rs a_merge_is_due_after_so_many_changes_and_wakes_the_writer"],
    ),
    ("MERGE_SHARE", &["src/pdp/merger.rs a_large_base_is_merged_after_more_changes"]),
    ("CHECKPOINT_CHANGES", &["writer_limits.rs the_log_keeps_so_many_commits_behind_a_checkpoint"]),
    (
        "CHECKPOINT_SHARE",
        &["writer_limits.rs a_large_store_is_written_whole_after_a_share_of_it_has_changed"],
    ),
    ("LOG_KEPT_COMMITS", &["writer_limits.rs the_log_keeps_so_many_commits_behind_a_checkpoint"]),
    ("LOG_KEPT_CHANGES", &["writer_limits.rs the_log_keeps_so_many_changes_behind_a_checkpoint"]),
    (
        "JOURNAL_GROUP_BYTES_MAX",
        &[
            "src/store/sled/tests/journal.rs the_journal_takes_groups_up_to_a_bound_until_it_is_full",
        ],
    ),
    ("LOG_VOLUME_BYTES_MAX", &["src/store/sled/tests/volumes.rs a_volume_is_full_at_its_bound"]),
    (
        "PRECONDITIONS_MAX",
        &["wire/preconditions.rs preconditions_are_bounded_in_number_and_in_cost"],
    ),
    (
        "PRECONDITION_TUPLES_MAX",
        &["wire/preconditions.rs preconditions_are_bounded_in_number_and_in_cost"],
    ),
    (
        "CONSTRAINT_TUPLES_MAX",
        &["constraints.rs so_many_tuples_are_looked_at_for_a_commit_and_no_more"],
    ),
    (
        "NEW_SCOPE_TUPLES_MAX",
        &["wire/granting/refusals.rs a_scope_that_only_expired_tuples_name_is_new_if_they_are_few"],
    ),
    (
        "IDEMPOTENCY_KEY_BYTES_MAX",
        &["wire/writes.rs a_malformed_key_is_refused_and_one_of_the_limit_is_not"],
    ),
    (
        "IDEMPOTENCY_KEY_SECONDS",
        &[
            "repeats.rs a_restart_forgets_no_key_and_keeps_none_longer",
            "wire/writes.rs a_key_is_free_again_after_24_hours",
        ],
    ),
    (
        "MODEL_COMMIT_BYTES_MAX",
        &["activation/faults.rs a_model_may_take_more_than_a_commit_of_tuples"],
    ),
    (
        "CONTEXTUAL_TUPLES_MAX",
        &[
            "contextual.rs a_hundred_tuples_and_no_more",
            "wire/contextual.rs a_hundred_are_taken_and_one_more_is_refused_with_the_limit",
        ],
    ),
    (
        "CONNECTION_STEPS_MAX",
        &["src/api/methods.rs what_takes_many_steps_does_not_hold_up_a_connection"],
    ),
    (
        "INLINE_STEPS_MAX",
        &["ops/busy.rs probes_and_cheap_questions_are_answered_while_dear_ones_are_under_way"],
    ),
    (
        "DEAR_REQUESTS_MAX",
        &["src/api/dear.rs so_many_jobs_run_at_once_and_one_more_waits_its_turn"],
    ),
    (
        "BULK_REQUESTS_MAX",
        &["src/api/dear.rs jobs_that_give_way_are_few_at_once_and_nobody_else_waits_for_them"],
    ),
    (
        "HIERARCHY_WALK_TUPLES_MAX",
        &["hierarchy.rs a_commit_does_not_walk_all_that_lies_around_its_parents"],
    ),
    (
        "CONTEXTUAL_WALK_TUPLES_MAX",
        &["contextual.rs a_question_does_not_walk_all_that_lies_below_a_contextual_parent"],
    ),
    ("CLIENT_TIMEOUT_SECONDS_MAX", &["cli.rs wrong_usage_is_64_and_never_a_denial"]),
    ("MODEL_PAGE_ENTRIES_MAX", &["wire/models.rs a_page_that_nobody_can_ask_for_is_refused"]),
    (
        "MODEL_PAGE_BYTES",
        &[
            "wire/models.rs a_large_model_is_read_to_its_end_in_messages_of_any_client",
            "wire/models.rs a_page_is_bounded_in_bytes_too",
        ],
    ),
    ("MISFITS_COUNTED_MAX", &["activation/mod.rs the_search_for_misfits_ends"]),
    (
        "MISFITS_NAMED_MAX",
        &["activation/mod.rs what_does_not_fit_is_refused_with_the_first_misfits"],
    ),
    (
        "HISTORY_REVISIONS_MAX",
        &[
            "wire/cursors.rs a_cursor_outlives_the_history_on_a_busy_store",
            "wire/cursors.rs the_lists_that_were_read_last_can_be_resumed_longest",
        ],
    ),
    ("HISTORY_SECONDS", &["wire/exactly.rs revisions_expire_by_age_counted_from_the_next_one"]),
    ("HISTORY_CHANGES_MAX", &["wire/exactly.rs revisions_expire_by_what_has_changed_since"]),
    (
        "HISTORY_CHECKSUMS_MAX",
        &["wire/tokens.rs checksums_are_remembered_for_longer_than_revisions_and_not_for_ever"],
    ),
    (
        "WAITING_READS_MAX",
        &["wire/consistency.rs reads_that_wait_are_bounded_and_leave_their_place"],
    ),
    ("CURSOR_BYTES_MAX", &["wire/cursors.rs the_longest_names_have_cursors_too"]),
    (
        "PINNED_REVISIONS_MAX",
        &["wire/cursors.rs the_lists_that_were_read_last_can_be_resumed_longest"],
    ),
    (
        "PINNED_CHANGES_MAX",
        &[
            "wire/overtaken.rs of_lists_that_are_overtaken_those_of_one_revision_go_on",
            "wire/overtaken.rs a_list_that_was_cut_short_goes_on_while_so_much_has_changed",
        ],
    ),
    (
        "COMPLETED_CHANGES_MAX",
        &["wire/cursors.rs a_cursor_of_a_list_that_was_read_expires_by_what_has_changed_since"],
    ),
    ("OVERTAKEN_LIST_SECONDS", &["wire/overtaken.rs a_list_that_is_overtaken_may_take_so_long"]),
    ("LIST_RESUMES_MAX", &["cli_reads.rs a_list_that_cannot_go_on_says_where_it_stands"]),
    ("INPUT_LINE_BYTES_MAX", &["cli_batch.rs what_fits_no_request_is_that_lines_error"]),
    ("IMPORT_CHUNK_BYTES_MAX", &["cli_import.rs every_chunk_is_small_enough_for_a_commit"]),
    (
        "BATCH_CHUNK_BYTES_MAX",
        &["cli_batch.rs chunks_hold_as_many_questions_and_bytes_as_a_request_may"],
    ),
    ("BATCH_ANSWER_BYTES_MAX", &["cli_batch.rs an_answer_may_be_larger_than_a_request"]),
    ("DIFF_LINES_DEFAULT", &["model_diff/effect.rs a_bound_that_is_met_is_said_everywhere"]),
    ("DIFF_QUESTIONS_DEFAULT", &["model_diff/effect.rs a_bound_that_is_met_is_said_everywhere"]),
    ("DIFF_NOTED_MAX", &["model_diff/effect.rs a_note_names_some_and_counts_the_others"]),
    (
        "DIFF_MISPLACED_MAX",
        &["model_diff/effect.rs parents_that_do_not_fit_are_left_out_up_to_a_bound"],
    ),
    ("DRY_RUN_PROBLEMS_MAX", &["cli_import.rs a_dry_run_gives_up_where_nothing_is_right"]),
    (
        "IDEMPOTENCY_KEYS_MAX",
        &["src/pdp/keys/tests.rs the_oldest_key_is_forgotten_for_one_too_many"],
    ),
    (
        "MODEL_PAGE_ENTRIES_DEFAULT",
        &["wire/models.rs a_page_that_asks_for_no_size_has_the_default"],
    ),
    ("REFUSAL_BYTES_MAX", &["src/pdp/proposal.rs a_reason_is_cut_between_characters"]),
    ("PROBLEMS_NAMED_MAX", &["src/server/model.rs as_many_problems_are_told_as_anybody_reads"]),
    ("PROBLEMS_SHOWN_MAX", &["src/server/model.rs as_many_problems_are_told_as_anybody_reads"]),
    ("CURSOR_SECONDS", &["wire/cursors.rs a_cursor_lives_for_a_time_after_its_list_was_read"]),
    ("CLIENT_BACKOFF_MILLIS", &["src/cli/retry.rs waits_are_bounded"]),
    ("CLIENT_BACKOFF_MILLIS_MAX", &["src/cli/retry.rs waits_are_bounded"]),
    (
        "ADMIN_CONNECTIONS_MAX",
        &[
            "ops/admin.rs connections_to_the_page_are_bounded",
            "ops/admin.rs the_page_is_reachable_however_many_hold_its_connections",
        ],
    ),
    (
        "ADMIN_IDLE_SECONDS",
        &[PATIENCE, "ops/admin.rs a_connection_to_the_page_that_says_nothing_more_is_closed"],
    ),
    (
        "UNREAD_SECONDS",
        &[PATIENCE, "ops/reading.rs answers_that_nobody_reads_end_their_connection"],
    ),
    ("UNREAD_PART_BYTES", &["ops/reading.rs answers_that_the_transport_holds_count_too"]),
    ("SPANS_WAITING_MAX", &["ops/traces.rs a_dead_collector_holds_up_nobody"]),
    (
        "IN_FLIGHT_REQUESTS_SETTABLE",
        &["src/config.rs what_is_out_of_range_is_named_with_its_range"],
    ),
    ("CONNECTIONS_SETTABLE", &["src/config.rs what_is_out_of_range_is_named_with_its_range"]),
    ("DRAIN_SECONDS_SETTABLE", &["src/config.rs what_is_out_of_range_is_named_with_its_range"]),
    ("REQUEST_SECONDS_SETTABLE", &["src/config.rs what_is_out_of_range_is_named_with_its_range"]),
    ("STALL_SECONDS_SETTABLE", &["src/config.rs what_is_out_of_range_is_named_with_its_range"]),
    ("CONNECTIONS_MAX", &["src/config.rs nothing_given_is_the_default"]),
    (
        "GREETING_SECONDS",
        &[
            PATIENCE,
            "src/server/connection.rs a_silent_connection_ends_and_one_that_has_greeted_stays",
        ],
    ),
    (
        "ACCEPT_PAUSE_MILLIS",
        &["src/server/connection.rs out_of_files_is_waited_out_and_broken_callers_are_passed_over"],
    ),
];

const STAGES: &str =
    "src/engine/reach/map.rs past_the_bounds_names_have_no_stage_and_no_stage_is_cut_short";
const LENGTHS: &str = "wire/bad_input.rs ids_and_names_are_as_long_as_they_may_be_and_no_longer";
const COMMIT: &str = "wire/limits.rs a_commit_has_so_many_changes_and_so_many_bytes";
const BODIES: &str =
    "wire/bodies.rs half_sent_messages_of_one_connection_take_their_share_and_no_more";
const ALL_BODIES: &str = "wire/bodies.rs \
     half_sent_messages_of_all_connections_are_bounded_and_give_back_what_they_took";
const CONTEXTS: &str = "wire/bad_fields.rs contexts_are_bounded_in_depth_and_size_everywhere";
const TRAILERS: &str =
    "wire/bad_input.rs an_error_about_long_names_fits_the_trailers_that_clients_take";
const PATIENCE: &str = "wire/limits.rs the_services_patience_is_what_the_limits_say";
const PARTS: &str = "src/api/stream.rs the_first_entry_is_sent_at_once_later_ones_in_parts_and_none_is_kept_for_long";
const SLOW_READERS: &str = "wire/hostile.rs lists_that_nobody_reads_lose_their_place";
const YAML: &str = "model/limits.rs yaml_nests_so_deep_and_begins_its_lines_so_far_right";
const LARGE_FILES: &str =
    "model/directory.rs a_matrix_may_be_larger_than_other_files_but_not_all_of_them_together";
const PERMISSIONS: &str =
    "model/limits.rs a_model_has_so_many_permissions_and_a_matrix_so_many_rows_and_columns";
const DELEGATION: &str = "model/delegation.rs delegation_and_constraints_are_bounded";
const EXPRESSIONS: &str = "model/limits.rs expressions_are_bounded_as_written_and_with_their_gates";
const CONDITIONS: &str = "model/limits.rs conditions_are_bounded_in_bytes_depth_and_cost";
const WRITER: &str =
    "writer_limits.rs so_many_commits_wait_and_one_more_is_refused_and_a_group_is_bounded";

/// Paces and defaults: they bound nothing, each with the reason.
const PACES: [(&str, &str); 4] = [
    ("SPAN_FLUSH_SECONDS", "how long the process waits for a collector at its end"),
    ("CLIENT_RETRIES_DEFAULT", "the default of a flag"),
    ("MODEL_WATCH_SECONDS", "how often a watched directory is looked at"),
    ("WAIT_MARGIN_MILLISECONDS", "the part of a deadline that is left for the answer"),
];

/// Numbers with the name of a bound that bound nothing of the service, each with the reason.
const NO_BOUNDS: [(&str, &str); 9] = [
    ("APPROACHES_MAX", "pdp/activate.rs: how often a draft is brought nearer to the head"),
    ("READS_MAX", "server/model.rs: how often a directory is read anew while it changes"),
    ("TOKEN_BYTES_MAX", "pdp/token.rs: how long the text of the largest token is"),
    ("SHOWN_MAX", "model/admission.rs: how many of what was expected a message lists"),
    ("BLOCK_BYTES_MAX", "store/block.rs: the format's: how long a block is"),
    ("ENTRY_BYTES_MAX", "store/block.rs: how long an entry of the largest commit is"),
    ("ITEM_BYTES_MAX", "store/sled/engine.rs: the format's: what may be given to the engine"),
    ("BODY_BYTES_MAX", "store/sled/log.rs: the bound of a commit with a model, as read back"),
    ("TIMESTAMP_SECONDS", "api/convert.rs: the range that protobuf gives a timestamp"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The name of the constant that this line declares.
fn declared(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("const ")?;
    let is_declaration = before.trim().is_empty() || before.trim().starts_with("pub");
    let (name, _) = rest.split_once(':')?;
    let is_name = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    (is_declaration && is_name && name != "_").then_some(name)
}

#[test]
fn every_bound_has_a_test() {
    let bounds: BTreeSet<&str> = LIMITS.lines().filter_map(declared).collect();
    assert!(bounds.len() > 30, "{bounds:?}");
    let covered: BTreeMap<&str, &[&str]> = COVERED.iter().copied().collect();
    assert_eq!(covered.len(), COVERED.len(), "a bound is there twice");
    for bound in &bounds {
        if PACES.iter().any(|(name, _)| name == bound) {
            continue;
        }
        let has_tests = covered.get(bound).is_some_and(|tests| !tests.is_empty());
        assert!(
            has_tests,
            "no test of `{bound}` is known: write one that fails where the bound is not kept, and \
             add to COVERED in tests/it/limits_covered.rs:\n\
             (\"{bound}\", &[\"wire/limits.rs the_name_of_the_test\"]),"
        );
    }
    for (bound, tests) in COVERED {
        assert!(bounds.contains(bound), "`{bound}` is no bound of src/model/limits.rs: remove it");
        let mut named = false;
        for test in *tests {
            let (file, name) = test.split_once(' ').expect("a file and a test");
            let dir = if file.starts_with("src/") { root() } else { &root().join("tests/it") };
            let text = fs::read_to_string(dir.join(file));
            let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
            let at = text.find(&format!("fn {name}()"));
            let at = at.unwrap_or_else(|| panic!("{file} has no test `{name}`"));
            let attribute = text[..at].trim_end().trim_end_matches("async").trim_end();
            let attribute = attribute.lines().next_back().unwrap_or_default().trim();
            let is_test = attribute.starts_with("#[test") || attribute.starts_with("#[tokio::test");
            assert!(is_test, "{file}: `{name}` is no test");
            named |= text.contains(bound);
        }
        assert!(named, "the tests of `{bound}` do not name it: they would not follow it");
    }
}

#[test]
fn no_other_file_has_bounds_of_its_own() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    assert!(files.len() > 50);
    for path in files {
        let relative = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap();
        let of_its_own = ["model/limits.rs"];
        if of_its_own.iter().any(|prefix| relative.starts_with(prefix)) {
            continue;
        }
        for name in fs::read_to_string(&path).unwrap().lines().filter_map(declared) {
            let looks_like_one = ["_MAX", "_SECONDS", "_MILLIS"].iter().any(|e| name.ends_with(e));
            let is_none =
                NO_BOUNDS.iter().any(|(known, at)| name == *known && at.contains(relative));
            assert!(
                !looks_like_one || is_none,
                "src/{relative} has the bound `{name}`: it belongs into src/model/limits.rs, with its \
                 unit and a test; if it bounds nothing, say so in NO_BOUNDS"
            );
        }
    }
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}
