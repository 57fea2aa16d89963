/* Philox4x32-10 (Salmon et al. 2011, section 3.3), the numbers of counter.py to the bit. */
#include <stdint.h>

/* (count,) parts of addresses each -> (count, 4) words of 32 random bits. */
void philox_words(int64_t count, const uint64_t *seed, const uint64_t *item, const uint64_t *row,
    const uint64_t *step, uint64_t purpose, uint64_t *words)
{
    for (int64_t n = 0; n < count; n++) {
        uint32_t counter[4] = {(uint32_t)item[n], (uint32_t)(item[n] >> 32), (uint32_t)row[n],
            (uint32_t)(step[n] << 2 | purpose)};
        uint32_t key[2] = {(uint32_t)seed[n], (uint32_t)(seed[n] >> 32)};
        for (int round = 0; round < 10; round++) {
            uint64_t first = (uint64_t)0xD2511F53 * counter[0];
            uint64_t second = (uint64_t)0xCD9E8D57 * counter[2];
            counter[0] = (uint32_t)(second >> 32) ^ counter[1] ^ key[0];
            counter[2] = (uint32_t)(first >> 32) ^ counter[3] ^ key[1];
            counter[1] = (uint32_t)second;
            counter[3] = (uint32_t)first;
            key[0] += 0x9E3779B9;
            key[1] += 0xBB67AE85;
        }
        for (int part = 0; part < 4; part++)
            words[4 * n + part] = counter[part];
    }
}
