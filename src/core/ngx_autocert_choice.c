
#include "ngx_autocert_choice.h"


typedef struct {
    ngx_uint_t   listen;
    ngx_uint_t   type;
    char        *why;
} ngx_autocert_choice_rule_t;


static ngx_uint_t ngx_autocert_choice_can(ngx_autocert_conf_t *acf,
    ngx_uint_t type);


/* the first that applies */

static ngx_autocert_choice_rule_t  ngx_autocert_choice_rules[] = {
    { NGX_AUTOCERT_LISTEN_PLAIN_80, NGX_AUTOCERT_CHALLENGE_HTTP,
      "there is a listener on port 80" },
    { NGX_AUTOCERT_LISTEN_TLS_443, NGX_AUTOCERT_CHALLENGE_TLS_ALPN,
      "there is none on port 80, but one on port 443" },
    { NGX_AUTOCERT_LISTEN_PLAIN, NGX_AUTOCERT_CHALLENGE_HTTP,
      "port 80 has to lead to one of the plain listeners" },
    { NGX_AUTOCERT_LISTEN_TLS, NGX_AUTOCERT_CHALLENGE_TLS_ALPN,
      "port 443 has to lead to one of the TLS listeners" },
    { 0, 0, NULL }
};


void
ngx_autocert_choice(ngx_autocert_conf_t *acf, ngx_autocert_name_t *name,
    ngx_uint_t better, ngx_uint_t failed, ngx_autocert_choice_t *choice)
{
    ngx_autocert_choice_rule_t  *rule;

    choice->type = name->challenge;
    choice->why = "as \"autocert_challenge\" says";

    if (name->challenge != NGX_AUTOCERT_CHALLENGE_AUTO) {
        if (!ngx_autocert_choice_can(acf, name->challenge)) {
            choice->type = 0;
        }

        return;
    }

    for (rule = ngx_autocert_choice_rules; rule->listen; rule++) {
        if (acf->listen & rule->listen) {
            break;
        }
    }

    choice->type = rule->type;
    choice->why = rule->why;

    if (better != choice->type && ngx_autocert_choice_can(acf, better)) {
        choice->type = better;
        choice->why = failed ? "the other way has failed"
                             : "it is the way that worked before";
    }
}


ngx_uint_t
ngx_autocert_choice_other(ngx_autocert_conf_t *acf, ngx_autocert_name_t *name,
    ngx_uint_t type)
{
    ngx_uint_t  other;

    other = (type == NGX_AUTOCERT_CHALLENGE_HTTP)
            ? NGX_AUTOCERT_CHALLENGE_TLS_ALPN : NGX_AUTOCERT_CHALLENGE_HTTP;

    return (name->challenge == NGX_AUTOCERT_CHALLENGE_AUTO
            && ngx_autocert_choice_can(acf, other))
           ? other : type;
}


static ngx_uint_t
ngx_autocert_choice_can(ngx_autocert_conf_t *acf, ngx_uint_t type)
{
    switch (type) {

    case NGX_AUTOCERT_CHALLENGE_HTTP:
        return (acf->listen & NGX_AUTOCERT_LISTEN_PLAIN) != 0;

    case NGX_AUTOCERT_CHALLENGE_TLS_ALPN:
        return (acf->listen & NGX_AUTOCERT_LISTEN_TLS) != 0;

    default:
        return 0;
    }
}
