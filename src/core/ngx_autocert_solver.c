
#include "ngx_autocert_solver.h"


ngx_int_t
ngx_autocert_solver_publish(ngx_autocert_helper_t *helper, ngx_str_t *name,
    ngx_str_t *token, ngx_str_t *key_authorization)
{
    return ngx_autocert_board_publish(&helper->acf->core->board, 0, name,
                                      token, key_authorization);
}


void
ngx_autocert_solver_unpublish(ngx_autocert_helper_t *helper)
{
    (void) ngx_autocert_board_publish(&helper->acf->core->board, 0, NULL,
                                      NULL, NULL);
}
