
/*
 * For valgrind, which then reports each branch and each address that depends
 * on a secret: the scalar of the key, the nonces and all that comes of them
 * count as undefined.  Signs by Nettle as the signer does.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <gmp.h>
#include <nettle/dsa.h>
#include <nettle/ecc-curve.h>
#include <nettle/ecc.h>
#include <nettle/ecdsa.h>
#include <sys/random.h>
#include <valgrind/memcheck.h>


#define LIMBS  (48 / sizeof(mp_limb_t))


static void
draw(void *data, size_t len, uint8_t *dst)
{
    (void) data;

    if (getrandom(dst, len, 0) != (ssize_t) len) {
        abort();
    }

    (void) VALGRIND_MAKE_MEM_UNDEFINED(dst, len);
}


static int
maps(char *name)
{
    int    c;
    FILE  *in, *out;

    in = fopen("/proc/self/maps", "r");
    out = fopen(name, "w");

    if (in == NULL || out == NULL) {
        return -1;
    }

    while ((c = getc(in)) != EOF) {
        (void) putc(c, out);
    }

    (void) fclose(in);

    return fclose(out);
}


int
main(int argc, char **argv)
{
    int                   i;
    mpz_t                 z;
    uint8_t               digest[48], secret[47];
    struct ecc_scalar     scalar;
    struct dsa_signature  rs;

    if (getrandom(secret, sizeof(secret), 0) != sizeof(secret)
        || getrandom(digest, sizeof(digest), 0) != sizeof(digest))
    {
        return 1;
    }

    mpz_init(z);
    mpz_import(z, sizeof(secret), 1, 1, 1, 0, secret);

    ecc_scalar_init(&scalar, nettle_get_secp_384r1());

    if (ecc_scalar_set(&scalar, z) != 1) {
        return 1;
    }

    /* where the libraries are, for who reads the report */

    if (argc != 2 || maps(argv[1]) != 0) {
        return 1;
    }

    (void) VALGRIND_MAKE_MEM_UNDEFINED(scalar.p, LIMBS * sizeof(mp_limb_t));

    for (i = 0; i < 3; i++) {
        dsa_signature_init(&rs);

        ecdsa_sign(&scalar, NULL, draw, sizeof(digest), digest, &rs);

        dsa_signature_clear(&rs);
    }

    (void) VALGRIND_MAKE_MEM_DEFINED(scalar.p, LIMBS * sizeof(mp_limb_t));

    ecc_scalar_clear(&scalar);
    mpz_clear(z);

    return 0;
}
