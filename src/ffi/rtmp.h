/* What bindgen reads: the parts of nginx-rtmp that the module touches. */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rtmp.h"
#include "ngx_rtmp_cmd_module.h"
#include "ngx_rtmp_codec_module.h"
#include "ngx_rtmp_live_module.h"
#include "ngx_rtmp_netcall_module.h"
#include "ngx_rtmp_record_module.h"
#include "ngx_rtmp_relay_module.h"
#include "ngx_rtmp_version.h"

/* Expressions that bindgen cannot read as macros. */
static const ngx_int_t STAGEDOOR_READ_EVENT = NGX_READ_EVENT;
static const ngx_uint_t STAGEDOOR_CLEAR_EVENT = NGX_CLEAR_EVENT;
