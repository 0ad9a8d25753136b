//! The matrix that every peer gets: the roles, the permissions, and which role gives which. Read from the
//! product's own model; knows nothing of peers.

use std::path::Path;

use crate::fault::{Fault, fault};

/// Columns that are not roles.
const NOT_ROLES: [&str; 3] = ["section", "permission", "gate"];

/// Role x permission, as the page says it.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    /// The document itself, for those who read it as it stands.
    pub(crate) csv: String,
    pub(crate) roles: Vec<String>,
    pub(crate) permissions: Vec<String>,
    /// Permission by permission: the roles that give it, by their places in `roles`.
    given_by: Vec<Vec<usize>>,
}

impl Matrix {
    /// Reads a matrix without gates.
    pub(crate) fn read(path: &Path) -> Result<Self, Fault> {
        let csv = std::fs::read_to_string(path)?;
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let header = reader.headers()?.clone();
        let column = |name: &str| header.iter().position(|column| column == name);
        let (Some(named), Some(gate)) = (column("permission"), column("gate")) else {
            return fault(format!("{}: no column `permission` or `gate`", path.display()));
        };
        let is_role = |(at, name): &(usize, &str)| *at != gate && !NOT_ROLES.contains(name);
        let columns: Vec<(usize, &str)> = header.iter().enumerate().filter(is_role).collect();
        let (mut permissions, mut given_by) = (Vec::new(), Vec::new());
        for row in reader.records() {
            let row = row?;
            let cell = |at: usize| row.get(at).unwrap_or_default();
            if !cell(gate).is_empty() {
                return fault(format!("{} is under a gate; peers have none", cell(named)));
            }
            permissions.push(cell(named).to_owned());
            let ticked = columns.iter().enumerate().filter(|(_, (at, _))| cell(*at) == "x");
            given_by.push(ticked.map(|(role, _)| role).collect());
        }
        let roles = columns.iter().map(|(_, name)| (*name).to_owned()).collect();
        Ok(Self { csv, roles, permissions, given_by })
    }

    /// Whether the role gives the permission, both by their places.
    pub(crate) fn gives(&self, role: usize, permission: usize) -> bool {
        self.given_by.get(permission).is_some_and(|roles| roles.contains(&role))
    }

    /// The names of the roles that give the permission.
    pub(crate) fn givers(&self, permission: usize) -> impl Iterator<Item = &str> {
        let roles = self.given_by.get(permission).into_iter().flatten();
        roles.filter_map(|role| self.roles.get(*role)).map(String::as_str)
    }

    /// How many cells are ticked.
    pub(crate) fn ticks(&self) -> usize {
        self.given_by.iter().map(Vec::len).sum()
    }
}
