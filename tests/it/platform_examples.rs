//! Holds the platforms' scenarios to the rules that they were made from: each rule's examples, so many that
//! are allowed and so many that are denied, stand in scenarios that the rule names.

use std::collections::BTreeMap;
use std::path::Path;

use bailiwick::model::SourceFiles;
use bailiwick::model::scenario::{Expect, Scenarios};

/// Rule, examples that are allowed, examples that are denied.
const RULES: [(&str, usize, usize); 76] = [
    ("PH-01", 1, 1),
    ("PH-02", 1, 0),
    ("PH-03", 3, 0),
    ("PH-04", 2, 1),
    ("PH-05", 2, 1),
    ("PH-06", 2, 1),
    ("PH-07", 2, 1),
    ("PH-08", 0, 1),
    ("PH-09", 0, 1),
    ("PH-10", 0, 1),
    ("PH-11", 1, 0),
    ("EH-01", 1, 2),
    ("EH-02", 1, 0),
    ("EH-03", 0, 2),
    ("EH-04", 1, 1),
    ("EH-05", 0, 1),
    ("EH-06", 1, 1),
    ("EH-07", 2, 1),
    ("EH-08", 1, 2),
    ("EH-09", 1, 0),
    ("CP-01", 0, 2),
    ("CP-02", 2, 1),
    ("CP-03", 2, 1),
    ("CP-04", 1, 2),
    ("CP-05", 1, 2),
    ("CP-06", 1, 1),
    ("CP-07", 2, 1),
    ("CP-08", 2, 1),
    ("CP-09", 2, 1),
    ("CP-10", 1, 1),
    ("CP-11", 2, 1),
    ("CP-12", 1, 2),
    ("CP-13", 2, 1),
    ("CP-14", 2, 1),
    ("CP-15", 2, 1),
    ("CP-16", 1, 0),
    ("CP-17", 0, 2),
    ("CP-18", 1, 1),
    ("ZA-01", 0, 1),
    ("ZA-02", 2, 1),
    ("ZA-03", 2, 1),
    ("ZA-04", 2, 1),
    ("ZA-05", 0, 2),
    ("ZA-06", 1, 1),
    ("ZA-07", 1, 0),
    ("ZA-08", 2, 1),
    ("ZA-09", 3, 0),
    ("ZA-10", 0, 2),
    ("ZA-11", 3, 0),
    ("ZA-12", 1, 2),
    ("ZA-13", 1, 1),
    ("ZA-14", 1, 1),
    ("ZA-15", 0, 1),
    ("ZA-16", 1, 0),
    ("VI-01", 1, 1),
    ("VI-02", 2, 1),
    ("VI-03", 2, 1),
    ("VI-04", 1, 1),
    ("VI-05", 1, 0),
    ("VI-06", 1, 2),
    ("VI-07", 1, 0),
    ("VI-08", 0, 2),
    ("VI-09", 1, 2),
    ("VI-10", 3, 2),
    ("VI-11", 1, 2),
    ("VI-12", 1, 2),
    ("VI-13", 2, 2),
    ("VI-14", 2, 1),
    ("VI-15", 1, 2),
    ("VI-16", 1, 2),
    ("VI-17", 1, 1),
    ("VI-18", 2, 1),
    ("VI-19", 2, 1),
    ("VI-20", 2, 0),
    ("VI-21", 1, 1),
    ("VI-22", 2, 1),
];

/// The rules that the platform does not decide, or decides twice: a parameter flips each.
const FLIPPED: [(&str, &str, &str); 10] = [
    ("EH-09", "energyhub", "access_covers_below"),
    ("CP-03", "chargeplatform", "tenant_admin_has_everything"),
    ("CP-10", "chargeplatform", "customer_support_edits_roles"),
    ("ZA-09", "zaptec", "full_control_on_pro"),
    ("ZA-10", "zaptec", "owner_bars_technical_settings"),
    ("VI-10", "virta", "module_activator_invites_users"),
    ("VI-14", "virta", "charging_manager_lacks_ev_drivers_alone"),
    ("VI-15", "virta", "organization_manager_sees_everything"),
    ("VI-16", "virta", "energy_portal_separate"),
    ("VI-20", "virta", "user_updates_firmware"),
];

const PLATFORMS: [&str; 5] = ["powerhub", "energyhub", "chargeplatform", "zaptec", "virta"];

fn scenarios(platform: &str) -> Vec<bailiwick::model::scenario::Scenario> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(platform);
    Scenarios::parse(&SourceFiles::read_dir(&dir).unwrap()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_rule_has_its_examples() {
    let mut held: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for scenario in PLATFORMS.iter().flat_map(|platform| scenarios(platform)) {
        let rule = scenario.name.split(' ').next().unwrap_or_default().to_owned();
        let asked = scenario.questions.iter().map(|question| question.expect);
        for expect in asked.chain(scenario.delegated.iter().map(|question| question.expect)) {
            let (allowed, denied) = held.entry(rule.clone()).or_default();
            match expect {
                Expect::Allow => *allowed += 1,
                Expect::Deny => *denied += 1,
                Expect::Invalid => {}
            }
        }
    }
    assert_eq!(RULES.iter().map(|(_, allowed, denied)| allowed + denied).sum::<usize>(), 181);
    let lacking: Vec<_> = RULES
        .iter()
        .map(|(rule, allowed, denied)| (rule, (*allowed, *denied), held.get(*rule).copied()))
        .filter(|(_, wanted, held)| held.is_none_or(|held| held.0 < wanted.0 || held.1 < wanted.1))
        .collect();
    assert!(lacking.is_empty(), "rule, examples, held: {lacking:?}");
}

#[test]
fn what_a_platform_leaves_open_is_asked_both_ways() {
    for (rule, platform, parameter) in FLIPPED {
        let scenarios = scenarios(platform);
        let mut own = scenarios.iter().filter(|scenario| scenario.name.starts_with(rule));
        assert!(own.clone().any(|one| !one.parameters.contains_key(parameter)), "{rule} as it is");
        assert!(own.any(|one| one.parameters.contains_key(parameter)), "{rule}: {parameter}");
    }
}
