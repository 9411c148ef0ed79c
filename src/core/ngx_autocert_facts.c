
#include "ngx_autocert_facts.h"
#include "ngx_autocert_choice.h"
#include "ngx_autocert_control.h"
#include "ngx_autocert_solver.h"

#include <openssl/obj_mac.h>
#include <openssl/rand.h>


typedef struct {
    ngx_autocert_helper_t  *helper;     /* NULL: there was no memory */
    ngx_autocert_plan_t    *plan;
    ngx_autocert_board_t   *board;
    uint64_t                seed;
} ngx_autocert_facts_ctx_t;


static ngx_autocert_facts_t *ngx_autocert_facts_of(ngx_uint_t index);
static void ngx_autocert_facts_tell(ngx_uint_t index);
static void ngx_autocert_facts_certificate(ngx_autocert_facts_t *facts,
    ngx_autocert_chain_t *chain);
static void ngx_autocert_facts_remembered(ngx_uint_t index,
    ngx_autocert_state_t *state);
static ngx_uint_t ngx_autocert_facts_challenge(ngx_uint_t index,
    ngx_autocert_state_t *state);
static void ngx_autocert_facts_words(ngx_uint_t index, ngx_str_t *why,
    ngx_str_t *detail, ngx_str_t *cause);
static u_short ngx_autocert_facts_text(u_char *dst, size_t max,
    ngx_str_t *text);


static ngx_autocert_facts_ctx_t  ngx_autocert_facts;


ngx_int_t
ngx_autocert_facts_start(ngx_autocert_helper_t *helper,
    ngx_autocert_plan_t *plan)
{
    ngx_uint_t                 i;
    ngx_autocert_state_t       none;
    ngx_autocert_sums_t       *sums;
    ngx_autocert_facts_ctx_t  *ctx = &ngx_autocert_facts;

    ctx->plan = plan;
    ctx->board = &helper->acf->core->board;

    if (RAND_bytes((u_char *) &ctx->seed, sizeof(uint64_t)) != 1
        || ngx_autocert_board_own(ctx->board, ctx->seed) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->helper = helper;

    sums = &ctx->board->own.summed->sums;
    sums->started = ngx_time();
    sums->restarts = helper->restarts;

    ngx_autocert_facts_sums();

    /* the sweep tells of those that can be ordered */

    ngx_memzero(&none, sizeof(ngx_autocert_state_t));

    for (i = 0; i < helper->acf->names.nelts; i++) {
        if (plan->names[i].never) {
            ngx_autocert_facts_state(i, &none);
        }
    }

    return NGX_OK;
}


/* NULL: they are not kept. */

static ngx_autocert_facts_t *
ngx_autocert_facts_of(ngx_uint_t index)
{
    if (ngx_autocert_facts.helper == NULL) {
        return NULL;
    }

    return &ngx_autocert_facts.board->own.known[index].facts;
}


void
ngx_autocert_facts_found(ngx_uint_t index, ngx_autocert_chain_t *chain,
    ngx_autocert_state_t *state)
{
    ngx_autocert_facts_t  *facts;

    facts = ngx_autocert_facts_of(index);

    if (facts == NULL) {
        return;
    }

    ngx_autocert_facts_certificate(facts, chain);
    ngx_autocert_facts_remembered(index, state);
    ngx_autocert_facts_tell(index);
}


void
ngx_autocert_facts_state(ngx_uint_t index, ngx_autocert_state_t *state)
{
    if (ngx_autocert_facts_of(index) == NULL) {
        return;
    }

    ngx_autocert_facts_remembered(index, state);
    ngx_autocert_facts_tell(index);
}


static void
ngx_autocert_facts_certificate(ngx_autocert_facts_t *facts,
    ngx_autocert_chain_t *chain)
{
    facts->not_before = 0;
    facts->not_after = 0;
    facts->type = NGX_AUTOCERT_TYPE_NONE;
    facts->serial_len = 0;

    if (chain == NULL) {
        return;
    }

    facts->not_before = chain->not_before;
    facts->not_after = chain->not_after;
    facts->serial_len = chain->serial_len;
    ngx_memcpy(facts->serial, chain->serial, chain->serial_len);

    switch (chain->curve) {

    case NID_X9_62_prime256v1:
        facts->type = NGX_AUTOCERT_TYPE_P256;
        break;

    case NID_secp384r1:
        facts->type = NGX_AUTOCERT_TYPE_P384;
        break;

    default:
        facts->type = NGX_AUTOCERT_TYPE_OTHER;
        break;
    }
}


static void
ngx_autocert_facts_remembered(ngx_uint_t index, ngx_autocert_state_t *state)
{
    time_t                 renew;
    ngx_str_t              none;
    ngx_autocert_facts_t  *facts;

    facts = ngx_autocert_facts_of(index);
    if (facts == NULL) {
        return;
    }

    renew = ngx_autocert_facts.plan->names[index].renew;

    facts->issued_at = state->issued_at;
    facts->failures = state->failures;
    facts->challenge = ngx_autocert_facts_challenge(index, state);
    facts->why = NGX_AUTOCERT_RENEW_NONE;

    if (facts->not_after) {
        facts->why = (renew == 0) ? NGX_AUTOCERT_RENEW_SETUP
                     : (renew == state->renew_at) ? NGX_AUTOCERT_RENEW_ARI
                     : NGX_AUTOCERT_RENEW_BEFORE;
    }

    /* of the words of this very failure more may be known than is kept */

    if (state->kind == 0) {
        facts->kind = (facts->failed_at > state->issued_at) ? facts->kind : 0;
        return;
    }

    if (state->failed_at > facts->failed_at || facts->kind == 0) {
        ngx_str_null(&none);
        facts->kind = state->kind;
        facts->failed_at = state->failed_at;
        ngx_autocert_facts_words(index, &state->why, &state->detail, &none);
    }
}


/* That of the last order or, if there was none, what would be chosen. */

static ngx_uint_t
ngx_autocert_facts_challenge(ngx_uint_t index, ngx_autocert_state_t *state)
{
    ngx_uint_t              type;
    ngx_autocert_conf_t    *acf;
    ngx_autocert_name_t    *name;
    ngx_autocert_choice_t   choice;

    type = ngx_autocert_solver_type(&state->challenge);

    if (type) {
        return type;
    }

    acf = ngx_autocert_facts.helper->acf;
    name = acf->names.elts;

    if (name[index].bootstrap) {
        return 0;
    }

    ngx_autocert_choice(acf, &name[index], 0, 0, &choice);

    return choice.type;
}


void
ngx_autocert_facts_issued(ngx_uint_t index, ngx_autocert_issued_t *issued)
{
    ngx_autocert_facts_t  *facts;

    facts = ngx_autocert_facts_of(index);

    if (facts == NULL) {
        return;
    }

    facts->life = issued->life;
    facts->nissued = ngx_min(issued->n, NGX_AUTOCERT_BOARD_ISSUED) + 1;
    ngx_memcpy(facts->issued, issued->at, sizeof(facts->issued));

    ngx_autocert_facts_tell(index);
}


void
ngx_autocert_facts_busy(ngx_uint_t index, ngx_uint_t busy)
{
    ngx_autocert_facts_t  *facts;

    facts = ngx_autocert_facts_of(index);

    if (facts) {
        facts->busy = busy;
        ngx_autocert_facts_tell(index);
    }
}


void
ngx_autocert_facts_failed(ngx_uint_t index, ngx_autocert_fail_t *fail)
{
    ngx_autocert_facts_t  *facts;

    facts = ngx_autocert_facts_of(index);

    if (facts == NULL) {
        return;
    }

    facts->kind = fail->kind;
    facts->failed_at = ngx_time();

    ngx_autocert_facts_words(index, &fail->why, &fail->detail, &fail->cause);
    ngx_autocert_facts_tell(index);

    if (fail->scope == NGX_AUTOCERT_FAIL_DOMAIN) {
        ngx_autocert_facts_all();
    }
}


static void
ngx_autocert_facts_words(ngx_uint_t index, ngx_str_t *why, ngx_str_t *detail,
    ngx_str_t *cause)
{
    u_char                *p;
    ngx_autocert_words_t  *words;

    words = &ngx_autocert_facts.board->own.words[index];
    p = words->data;

    words->why = ngx_autocert_facts_text(p, NGX_AUTOCERT_BOARD_WHY, why);
    p += words->why;

    words->detail = ngx_autocert_facts_text(p, NGX_AUTOCERT_BOARD_DETAIL,
                                            detail);
    p += words->detail;

    words->cause = ngx_autocert_facts_text(p, NGX_AUTOCERT_BOARD_CAUSE,
                                           cause);
}


/* Without memory it is told without. */

static u_short
ngx_autocert_facts_text(u_char *dst, size_t max, ngx_str_t *text)
{
    u_short      len;
    ngx_str_t    clean;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(1024, ngx_autocert_facts.helper->log);
    if (pool == NULL) {
        return 0;
    }

    len = 0;

    if (ngx_autocert_fail_text(pool, text, max, &clean) == NGX_OK) {
        len = clean.len;
        ngx_memcpy(dst, clean.data, len);
    }

    ngx_destroy_pool(pool);

    return len;
}


/* With what the plan makes of it now. */

static void
ngx_autocert_facts_tell(ngx_uint_t index)
{
    time_t                     now;
    ngx_uint_t                 certificate;
    ngx_autocert_plan_t       *plan;
    ngx_autocert_facts_t      *facts;
    ngx_autocert_plan_name_t  *name;

    facts = ngx_autocert_facts_of(index);
    if (facts == NULL) {
        return;
    }

    plan = ngx_autocert_facts.plan;
    name = &plan->names[index];

    now = ngx_time();
    certificate = (facts->not_after != 0);

    facts->renew = name->renew;
    facts->due = ngx_autocert_plan_due(plan, index);
    facts->held = ngx_autocert_plan_held(plan, index, now);

    if (facts->busy) {
        facts->state = certificate ? NGX_AUTOCERT_IS_RENEWING
                                   : NGX_AUTOCERT_IS_ISSUING;

    } else if (name->never) {
        facts->state = NGX_AUTOCERT_IS_HELD;

    } else if (facts->failures) {
        facts->state = NGX_AUTOCERT_IS_FAILING;

    } else {
        facts->state = certificate ? NGX_AUTOCERT_IS_VALID
                                   : NGX_AUTOCERT_IS_WAITING;
    }

    ngx_autocert_board_tell(ngx_autocert_facts.board, index);
    ngx_autocert_control_changed(index);
}


void
ngx_autocert_facts_all(void)
{
    ngx_uint_t                 i;
    ngx_autocert_facts_ctx_t  *ctx = &ngx_autocert_facts;

    for (i = 0; ctx->helper && i < ctx->helper->acf->names.nelts; i++) {

        /* not those that the sweep has yet to look at */

        if (ctx->board->own.known[i].sequence
            != (ngx_atomic_uint_t) (ctx->seed << 1))
        {
            ngx_autocert_facts_tell(i);
        }
    }

    ngx_autocert_facts_sums();
}


void
ngx_autocert_facts_heard(ngx_uint_t answered)
{
    ngx_autocert_sums_t  *sums;

    if (ngx_autocert_facts.helper == NULL) {
        return;
    }

    sums = &ngx_autocert_facts.board->own.summed->sums;

    if (answered) {
        sums->answered_at = ngx_time();
        sums->reachable = 1;

    } else {
        sums->lost_at = ngx_time();
        sums->reachable = 2;
    }

    ngx_autocert_facts_sums();
}


void
ngx_autocert_facts_sums(void)
{
    ngx_autocert_sums_t       *sums;
    ngx_autocert_facts_ctx_t  *ctx = &ngx_autocert_facts;

    if (ctx->helper == NULL) {
        return;
    }

    sums = &ctx->board->own.summed->sums;

    sums->hold = ctx->plan->ca.hold;
    sums->failures = ctx->plan->ca.failures;

    ngx_autocert_keeper_latency(ctx->helper->keeper, &sums->signatures);

    ngx_autocert_board_tell_sums(ctx->board);
}
