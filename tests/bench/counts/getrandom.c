// The same "random" octets in each run: hash tables of std then have the same seeds, and walk the same ways.
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

ssize_t getrandom(void *octets, size_t number, unsigned flags) {
    memset(octets, 7, number);
    return number;
}
