//! The page: tables and pictures made from the results, put between their marks in `docs/benchmarks.md`. What
//! stands outside the marks is written by people and left as it is.

mod better;
mod figures;
mod pictures;
mod plot;
mod tables;

use std::path::Path;

use crate::fault::{Fault, fault};
use crate::inprocess::Figure;
use crate::machine::Machine;
use crate::results::kept;
use crate::served::Served;

const PAGE: &str = "docs/benchmarks.md";

/// Renders page and pictures from the kept results.
pub(crate) fn render(root: &Path) -> Result<(), Fault> {
    let machine: Machine = kept("machine")?;
    let services: Vec<Served> = kept("services")?;
    let libraries: Vec<Figure> = kept("libraries")?;
    let path = root.join(PAGE);
    let mut page = std::fs::read_to_string(&path)?;
    for (part, text) in [
        ("machine", tables::machine(&machine)),
        ("rates", tables::rates(&services)),
        ("everyday", tables::everyday(&services)),
        ("held", tables::held(&services)),
        ("libraries", tables::libraries(&libraries)),
        ("growth", tables::growth(&libraries)),
        ("better", better::better(&services, &libraries)),
    ] {
        page = replaced(&page, part, &text)?;
    }
    std::fs::write(&path, page)?;
    let pictures = root.join("docs/benchmarks");
    std::fs::create_dir_all(&pictures)?;
    for (name, picture) in pictures::all(&services, &libraries) {
        std::fs::write(pictures.join(name), picture)?;
    }
    Ok(())
}

/// The page with what stands between the marks of this part replaced.
fn replaced(page: &str, part: &str, text: &str) -> Result<String, Fault> {
    let (begin, end) = (
        format!("<!-- {part}: made by benches/peers/run -->\n"),
        format!("<!-- end of {part} -->"),
    );
    let Some((before, rest)) = page.split_once(&begin) else {
        return fault(format!("{PAGE}: no mark `{}`", begin.trim()));
    };
    let Some((_, after)) = rest.split_once(&end) else {
        return fault(format!("{PAGE}: no mark `{end}`"));
    };
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", text.trim()))
}
