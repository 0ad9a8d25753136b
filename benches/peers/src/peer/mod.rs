//! The peers that are libraries, behind one trait: each gets the same world and matrix and answers the same
//! questions, handed over as a caller has them, as text. How they are timed stands in `inprocess`.

mod bailiwick;
mod casbin;
mod cedar;
mod regorus;

pub(crate) use bailiwick::write as write_bailiwick;

use std::path::Path;

use crate::fault::{Fault, fault};
use crate::matrix::Matrix;
use crate::world::{Question, World};

/// Ours first.
pub(crate) const NAMES: [&str; 4] = [OURS, "cedar-policy", "regorus", "casbin"];
/// What reads its world from a directory, written before by a process of its own.
pub(crate) const OURS: &str = "bailiwick";

/// Something that decides.
pub(crate) trait Peer {
    /// Whether it lets the user do this there.
    fn allows(&mut self, question: &Question) -> Result<bool, Fault>;
}

/// The peer of that name, holding the world.
pub(crate) fn open(
    name: &str,
    matrix: &Matrix,
    world: World,
    data: &Path,
) -> Result<Box<dyn Peer>, Fault> {
    match name {
        OURS => Ok(Box::new(bailiwick::Bailiwick::open(matrix, data)?)),
        "cedar-policy" => Ok(Box::new(cedar::Cedar::load(matrix, world)?)),
        "regorus" => Ok(Box::new(regorus::Rego::load(matrix, world)?)),
        "casbin" => Ok(Box::new(casbin::Casbin::load(matrix, world)?)),
        _ => fault(format!("no peer is called {name}")),
    }
}
