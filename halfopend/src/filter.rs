//! Which targets a client wants to see.

use form_urlencoded::parse;

use crate::live::TargetRow;

/// A choice of targets, as a query says it: `pool=NAME`, `q=WORDS`, `problems=true`, `limit=N`,
/// `offset=N`, `history=true`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this pool.
    pub pool: Option<String>,
    /// Only those whose label or pool contains this, in lower case.
    pub words: String,
    /// Only those that are not up, or hidden by a fault of this machine.
    pub problems: bool,
    /// Only so many.
    pub limit: usize,
    /// How many targets are skipped.
    pub offset: usize,
    /// With the round-trip times of the last hour.
    pub history: bool,
}

/// Why a query is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// There is no such parameter.
    #[error("there is no parameter {0:?}; there are: pool q problems limit offset history")]
    Parameter(String),
    /// It has a value that it cannot have.
    #[error("{0}={1:?}: it must be {2}")]
    Value(&'static str, String, &'static str),
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            pool: None,
            words: String::new(),
            problems: false,
            limit: usize::MAX,
            offset: 0,
            history: false,
        }
    }
}

impl Filter {
    /// Returns the choice that a query makes.
    ///
    /// # Errors
    ///
    /// Returns an error if there is a parameter that does not exist, or a value that it cannot
    /// have.
    pub fn of_query(query: &str) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        for (name, value) in parse(query.as_bytes()) {
            match name.as_ref() {
                "pool" => filter.pool = Some(value.into_owned()).filter(|pool| !pool.is_empty()),
                "q" => filter.words = value.to_lowercase(),
                "problems" => filter.problems = flag("problems", &value)?,
                "history" => filter.history = flag("history", &value)?,
                "limit" => filter.limit = number("limit", &value)?,
                "offset" => filter.offset = number("offset", &value)?,
                _ => return Err(FilterError::Parameter(name.into_owned())),
            }
        }
        Ok(filter)
    }

    /// Returns true for a target that it chooses.
    pub fn takes(&self, row: &TargetRow) -> bool {
        let in_words = || {
            row.label().to_lowercase().contains(&self.words)
                || row.pool.to_lowercase().contains(&self.words)
        };
        self.pool.as_ref().is_none_or(|pool| **pool == *row.pool)
            && (!self.problems || row.is_problem())
            && (self.words.is_empty() || in_words())
    }
}

fn number(name: &'static str, value: &str) -> Result<usize, FilterError> {
    value.parse().map_err(|_| FilterError::Value(name, value.to_owned(), "a number"))
}

fn flag(name: &'static str, value: &str) -> Result<bool, FilterError> {
    match value {
        "true" | "1" | "on" => Ok(true),
        "" | "false" | "0" | "off" => Ok(false),
        _ => Err(FilterError::Value(name, value.to_owned(), "true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_chooses() {
        let chosen =
            Filter::of_query("pool=web&q=A%20b&problems=true&limit=5&offset=6&history=1").unwrap();
        let wanted = Filter {
            pool: Some("web".to_owned()),
            words: "a b".to_owned(),
            problems: true,
            limit: 5,
            offset: 6,
            history: true,
        };
        assert_eq!(chosen, wanted);
        assert_eq!(Filter::of_query("pool=&q=&problems="), Ok(Filter::default()));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for query in ["polo=web", "problems=maybe", "limit=-1", "limit=", "offset=x", "history=2"] {
            assert!(Filter::of_query(query).is_err(), "{query}");
        }
    }
}
