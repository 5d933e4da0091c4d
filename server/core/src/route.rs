//! How a channel's bytes travel, decided from where its two plugins are.

/// How a channel's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Both plugins are in this process.
    Local,
    /// A stream of the link to the other plugin's server.
    Link,
}

impl Route {
    /// The word that logs and `status` use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Route::Local => "local",
            Route::Link => "link",
        }
    }
}

/// Where a plugin is, seen from the server that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Here,
    /// With another server that is linked to this one.
    Server,
}

/// The routes between a plugin of this process and one at `to`, in the order in which to try them.
pub const fn routes(to: Place) -> &'static [Route] {
    match to {
        Place::Here => &[Route::Local],
        Place::Server => &[Route::Link],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_routes() {
        let table: [(Place, &[Route]); 2] =
            [(Place::Here, &[Route::Local]), (Place::Server, &[Route::Link])];
        for (to, expected) in table {
            assert_eq!(routes(to), expected, "to {to:?}");
        }
    }
}
