/*
 * Part of an nginx that is built with sanitizers, and of no other: how the sanitizers are set up, in
 * the binary and not in the environment, which nginx does not hand on; and mistakes on demand, so
 * that a test can see that each of them is reported.
 */

#include <ngx_config.h>
#include <ngx_core.h>


const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__lsan_default_suppressions(void);
int __lsan_is_turned_off(void);

void __sanitizer_symbolize_pc(void *pc, const char *fmt, char *out, size_t size);

static char *ngx_sanitizers_mistake(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_sanitizers_init_module(ngx_cycle_t *cycle);
static void ngx_sanitizers_exit_process(ngx_cycle_t *cycle);


static ngx_str_t  mistake;

static ngx_command_t  ngx_sanitizers_commands[] = {

    { ngx_string("sanitizers_mistake"),
      NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_sanitizers_mistake,
      0,
      0,
      NULL },

      ngx_null_command
};

static ngx_core_module_t  ngx_sanitizers_module_ctx = {
    ngx_string("sanitizers"),
    NULL,
    NULL
};

ngx_module_t  ngx_sanitizers_module = {
    NGX_MODULE_V1,
    &ngx_sanitizers_module_ctx,            /* module context */
    ngx_sanitizers_commands,               /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_sanitizers_init_module,            /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_sanitizers_exit_process,           /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/*
 * Every dynamic module of nginx has an ngx_modules of its own: "one definition" does not hold, and
 * is not looked for.
 */

const char *
__asan_default_options(void)
{
    return "detect_odr_violation=0:detect_stack_use_after_return=1:detect_leaks=1"
           ":print_suppressions=0";
}


const char *
__ubsan_default_options(void)
{
    return "print_stacktrace=1";
}


/*
 * What nginx and nginx-rtmp leave behind; each is one function, which calls none of Stagedoor's:
 *
 *   ngx_event_process_init         a worker's connections and events, which it never gives back
 *   ngx_regex_malloc               nginx 1.22 forgets the compile context of regular expressions
 *                                  (ngx_regex_module_init)
 *   ngx_rtmp_core_merge_srv_conf   nginx-rtmp makes pools that no cycle owns: one a server {}
 *   ngx_rtmp_live_merge_app_conf   and one an application {}
 *
 * And what OpenSSL allocates, which Stagedoor does not use: nginx's stream module leaves the TLS
 * connection to a server behind that was half closed (proxy_half_close), without Stagedoor as well;
 * a stack of OpenSSL's ends in its own library.
 */

const char *
__lsan_default_suppressions(void)
{
    return "leak:^ngx_event_process_init$\n"
           "leak:^ngx_regex_malloc$\n"
           "leak:^ngx_rtmp_core_merge_srv_conf$\n"
           "leak:^ngx_rtmp_live_merge_app_conf$\n"
           "leak:libssl.so\n"
           "leak:libcrypto.so\n";
}


/*
 * Masters and workers answer for their memory.  A process that only reads the configuration
 * ("nginx -t", a start that fails) or sends a signal leaves all of it to the kernel.
 */

int
__lsan_is_turned_off(void)
{
    return ngx_process == NGX_PROCESS_SINGLE
           || ngx_process == NGX_PROCESS_SIGNALLER;
}


static char *
ngx_sanitizers_mistake(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t  *value;

    value = cf->args->elts;
    mistake = value[1];

    return NGX_CONF_OK;
}


/*
 * Has the debugging information read now, once, with all modules loaded and the master's rights.
 * Workers inherit it; each would read it for itself when it ends, for a second or two, to find what
 * is suppressed.
 */

static ngx_int_t
ngx_sanitizers_init_module(ngx_cycle_t *cycle)
{
    char  name[64];

    __sanitizer_symbolize_pc((void *) ngx_sanitizers_init_module, "%f", name,
                             sizeof(name));

    return NGX_OK;
}


/* When a worker ends, because one that dies earlier is started anew. */

static void
ngx_sanitizers_exit_process(ngx_cycle_t *cycle)
{
    u_char        *p;
    ngx_pool_t    *pool;
    volatile int   n;

    if (mistake.len == 0) {
        return;
    }

    pool = ngx_create_pool(4096, cycle->log);
    if (pool == NULL) {
        return;
    }

    p = ngx_pnalloc(pool, 10);

    if (ngx_strcmp(mistake.data, "overrun") == 0) {
        n = 10;
        p[n] = 1;
    }

    if (ngx_strcmp(mistake.data, "leak") == 0) {
        return;
    }

    ngx_destroy_pool(pool);

    if (ngx_strcmp(mistake.data, "stale") == 0) {
        n = p[0];
    }

    if (ngx_strcmp(mistake.data, "overflow") == 0) {
        n = NGX_MAX_INT32_VALUE;
        n = n + 1;
    }
}
