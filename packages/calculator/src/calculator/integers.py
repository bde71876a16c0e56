"""Functions of integers. Each estimates the size of its result before it builds it."""

import math

from calculator import numbers
from calculator.limits import MAX_BITS, MAX_FACTORED, MAX_MODULUS_BITS, SYMBOLIC_STEP, NotCalculable, Work, too_large
from calculator.numbers import Value, integer, symbolic


def gcd(work: Work, *values: Value) -> Value:
    return math.gcd(*(integer(value, "gcd") for value in values))


def lcm(work: Work, *values: Value) -> Value:
    integers = [integer(value, "lcm") for value in values]
    if sum(n.bit_length() for n in integers) > MAX_BITS:
        raise too_large("the least common multiple")
    return math.lcm(*integers)


def power_modulo(work: Work, base: Value, exponent: Value, modulus: Value) -> Value:
    b, n, m = (integer(value, "powmod") for value in (base, exponent, modulus))
    if m < 1:
        raise NotCalculable("the modulus of powmod is a positive integer")
    if m.bit_length() > MAX_MODULUS_BITS:
        raise too_large("the modulus")
    work.spend(1 + n.bit_length() * m.bit_length() ** 2 // 1_000_000)
    if n < 0:
        b, n = inverse_modulo(work, b, m), -n
    return pow(b, n, m)


def inverse_modulo(work: Work, a: Value, modulus: Value) -> Value:
    n, m = integer(a, "inverse_mod"), integer(modulus, "inverse_mod")
    if m < 1:
        raise NotCalculable("the modulus of inverse_mod is a positive integer")
    if math.gcd(n, m) != 1:
        raise NotCalculable("there is no inverse: number and modulus have a common factor")
    return pow(n, -1, m)


def factorial(work: Work, n: Value) -> Value:
    count = _natural(n, "factorial")
    if count > MAX_BITS or math.lgamma(count + 1) / math.log(2) > MAX_BITS:
        raise too_large("the factorial")
    return math.factorial(count)


def binomial(work: Work, n: Value, k: Value) -> Value:
    total, chosen = _natural(n, "binomial"), integer(k, "binomial")
    if not 0 <= chosen <= total:
        return 0
    fewer = min(chosen, total - chosen)
    if min(total, fewer * total.bit_length()) > MAX_BITS:
        raise too_large("the binomial coefficient")
    work.spend(1 + fewer // 10)
    return numbers.checked(math.comb(total, chosen))


def permutations(work: Work, n: Value, k: Value) -> Value:
    total, chosen = _natural(n, "perm"), integer(k, "perm")
    if not 0 <= chosen <= total:
        return 0
    if chosen * total.bit_length() > 2 * MAX_BITS:
        raise too_large("the number of permutations")
    return numbers.checked(math.perm(total, chosen))


def _natural(value: Value, what: str) -> int:
    n = integer(value, what)
    if n < 0:
        raise NotCalculable(f"{what} needs an integer that is not negative")
    return n


def _factors(work: Work, n: Value, what: str) -> dict[int, int]:
    """Prime → multiplicity."""
    number = integer(n, what)
    if number < 1:
        raise NotCalculable(f"{what} needs a positive integer")
    if number > MAX_FACTORED:
        raise too_large("the number to factor")
    work.spend(20 + math.isqrt(math.isqrt(number)))
    found: dict[int, int] = {}
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31):
        while number % prime == 0:
            found[prime] = found.get(prime, 0) + 1
            number //= prime
    if number == 1:
        return found
    if number < 37 * 37:
        return {**found, number: 1}
    work.spend(SYMBOLIC_STEP)
    return {**found, **symbolic().factors(number)}


def divisor_count(work: Work, n: Value) -> Value:
    return math.prod(times + 1 for times in _factors(work, n, "divisor_count").values())


def divisor_sum(work: Work, n: Value) -> Value:
    factors = _factors(work, n, "divisor_sum")
    return math.prod((prime ** (times + 1) - 1) // (prime - 1) for prime, times in factors.items())


def totient(work: Work, n: Value) -> Value:
    factors = _factors(work, n, "totient")
    return math.prod((prime - 1) * prime ** (times - 1) for prime, times in factors.items())


def is_prime(work: Work, n: Value) -> bool:
    number = integer(n, "is_prime")
    if number > MAX_FACTORED:
        raise too_large("the number")
    work.spend(30)
    return number > 1 and symbolic().is_prime(number)


def digit_sum(work: Work, n: Value) -> Value:
    return sum(map(int, str(abs(integer(n, "digit_sum")))))


def valuation(work: Work, n: Value, prime: Value) -> Value:
    """How often `prime` divides n."""
    rest, p = integer(n, "valuation"), integer(prime, "valuation")
    if rest == 0 or p < 2:
        raise NotCalculable("valuation(n, p) needs n other than 0 and p of at least 2")
    times = 0
    while rest % p == 0:
        work.spend()
        rest //= p
        times += 1
    return times


def is_square(work: Work, n: Value) -> bool:
    number = integer(n, "is_square")
    return number >= 0 and math.isqrt(number) ** 2 == number


def isqrt(work: Work, n: Value) -> Value:
    return math.isqrt(_natural(n, "isqrt"))


def digit_count(work: Work, n: Value) -> Value:
    return len(str(abs(integer(n, "digit_count"))))
