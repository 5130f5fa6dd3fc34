//! `stagedoor_query` and what goes with it: the operator's own statements for a database of the
//! operator's own application.

use std::ffi::CStr;
use std::sync::Arc;

use nginx_sys::{NGX_CONF_TAKE1, NGX_DIRECT_CONF, NGX_MAIN_CONF};
use stagedoor_core::store::Layout;
use stagedoor_core::store::foreign::{Role, Statement, Statements};

use super::CoreConf;
use crate::ffi::conf::{Conf, Directive, Mistake, once};

/// The statements as they stand in the configuration.
#[derive(Debug, Default)]
pub(super) struct StatementsConf {
    query: Option<Statement>,
    on_start: Option<Statement>,
    on_stop: Option<Statement>,
    on_boot: Option<Statement>,
}

impl StatementsConf {
    /// Whether keys are asked by the operator's own query.
    pub(super) fn has_query(&self) -> bool {
        self.query.is_some()
    }

    /// Whose tables these statements make the database; `Err` holds the one that lacks a query.
    pub(super) fn layout(&self) -> Result<Layout, &Statement> {
        let Self { query, on_start, on_stop, on_boot } = self;
        match (query, on_start.as_ref().or(on_stop.as_ref()).or(on_boot.as_ref())) {
            (Some(query), _) => Ok(Layout::Foreign(Arc::new(Statements {
                query: query.clone(),
                on_start: on_start.clone(),
                on_stop: on_stop.clone(),
                on_boot: on_boot.clone(),
            }))),
            (None, Some(statement)) => Err(statement),
            (None, None) => Ok(Layout::Native),
        }
    }
}

macro_rules! statement {
    ($type:ident, $name:literal, $role:expr, $field:ident) => {
        pub(super) struct $type;

        impl Directive for $type {
            type Conf = CoreConf;
            const NAME: &'static CStr = $name;
            const KIND: u32 = NGX_MAIN_CONF | NGX_DIRECT_CONF | NGX_CONF_TAKE1;

            fn set(cf: &Conf<'_>, conf: &mut CoreConf) -> Result<(), Mistake> {
                let statement = Statement::new($role, cf.utf8("an SQL statement")?, cf.place());
                once(&mut conf.statements.$field, statement)
            }
        }
    };
}

statement!(Query, c"stagedoor_query", Role::Query, query);
statement!(OnStart, c"stagedoor_on_start", Role::Start, on_start);
statement!(OnStop, c"stagedoor_on_stop", Role::Stop, on_stop);
statement!(OnBoot, c"stagedoor_on_boot", Role::Boot, on_boot);
