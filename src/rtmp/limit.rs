//! The directive `stagedoor_auth_limit`.

use std::ffi::CStr;

use nginx_sys::NGX_CONF_TAKE12;
use stagedoor_core::limit::Limit;

use super::{ANYWHERE, AppConf};
use crate::ffi::conf::{Conf, Directive, Mistake, once};

pub(super) struct AuthLimit;

impl Directive for AuthLimit {
    type Conf = AppConf;
    const NAME: &'static CStr = c"stagedoor_auth_limit";
    const KIND: u32 = ANYWHERE | NGX_CONF_TAKE12;

    fn set(cf: &Conf<'_>, conf: &mut AppConf) -> Result<(), Mistake> {
        once(&mut conf.auth_limit, limit(cf)?)
    }
}

fn limit(cf: &Conf<'_>) -> Result<Option<Limit>, Mistake> {
    let has_burst = cf.words() > 2;
    if cf.word(1) == "off" {
        return match has_burst {
            true => Err(cf.value(2, "nothing behind \"off\"")),
            false => Ok(None),
        };
    }
    let rate = Limit::parse(&cf.word(1));
    let rate =
        rate.ok_or_else(|| cf.value(1, "a rate such as \"30r/m\" or \"5r/s\", or \"off\""))?;
    if !has_burst {
        return Ok(Some(rate));
    }
    let limit = rate.with_burst(&cf.word(2));
    limit.map(Some).ok_or_else(|| cf.value(2, "\"burst=\" and a whole number of at least 1"))
}
