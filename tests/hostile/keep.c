
/*
 * Before all other libraries: no module is unloaded, so that ASan can name
 * its functions, and LSan finds what its variables lead to, to the end.
 */

int  dlclose(void *handle);


int
dlclose(void *handle)
{
    (void) handle;

    return 0;
}
