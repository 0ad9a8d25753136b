//! What the sugar compiles into.

use super::support::form_of;

/// The example of docs/model.md.
fn documented() -> (String, String) {
    let page = include_str!("../../../docs/model.md");
    let yaml = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap().to_owned();
    let matrix = "section,permission,label,engineer,site_owner,gate\n\
                  org,org.edit,Edit,yes,no,\n\
                  org,org.edit_child,Edit below,1,,module:stations/x\n\
                  org,org.audit,Audit,,,\n\
                  site,users.create,Create,x,yes,not_blocked & verified\n";
    (yaml, matrix.to_owned())
}

#[test]
fn the_documented_example_loads() {
    let (yaml, matrix) = documented();
    let files = [("model.yaml", yaml), ("permissions.csv", matrix)].into_iter().collect();
    let model = bailiwick::model::load(&files, &std::collections::BTreeMap::new());
    let model = model.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(form_of(&model, "org", "staff"), "any(ref admin, ref engineer)");
}
