/** Words for names of containers whose user gave none: adjectives, and surnames of people of science. */
export const ADJECTIVES = `able airy ample apt avid bold brave breezy brief bright brisk calm candid careful cheery civil clear clever
cosmic cozy crisp curious daring deft eager early earnest easy epic exact fair fancy fearless fine firm fleet fluent fond frank free
fresh friendly frosty frugal gallant gentle glad golden graceful grand great handy happy hardy hearty helpful honest hopeful humble
ideal jolly jovial joyful just keen kind lively logical loyal lucid lucky mellow merry mild modest mindful neat nimble noble orderly
patient peaceful placid plucky polite prompt proud quick quiet rapid ready robust rosy secure serene sharp shiny simple sincere sleek
smooth snug sober solid sound spry stable stately steady stellar still sturdy subtle sunny sure swift tidy tranquil trusty upbeat
useful valiant vast vivid warm wise witty worthy zesty`.split(/\s+/);

export const SURNAMES = `aalto abel ahlfors aiken ampere archimedes avogadro babbage bardeen bell bernoulli berzelius bohr bolyai boltzmann
boole born bose boyle brahe cajal cantor cauchy cavendish celsius chandrasekhar church clausius codd cori coulomb curie dahl dalton
darwin davy descartes dijkstra diophantus dirac doppler edison einstein engelbart eratosthenes erdos erlang euclid euler faraday
fermat fermi feynman fibonacci fisher fourier franklin fresnel galilei galois gauss germain gibbs godel goodall hamilton hamming
heaviside heisenberg helmholtz hermite hertz hilbert hodgkin hooke hopper hubble hypatia jacobi joule kepler khayyam kirchhoff kleene
knuth kolmogorov kovalevskaya lagrange lamarr lamport landau laplace lavoisier legendre leibniz linnaeus liskov lorentz lovelace
markov maxwell mayer mccarthy mcclintock meitner mendel mendeleev mirzakhani mobius morse nash neumann newton nevanlinna noether
nordenskiold oersted ohm pascal pasteur pauli pearson penrose planck poincare poisson ptolemy pythagoras ramanujan ritchie rontgen
rutherford sabin salk shannon sibelius snell stibitz stokes tarski tesla thales thompson torvalds turing vangogh viete virtanen volta
wallis watt weber weierstrass wiener wiles wirth wright wu yalow yukawa zuse`.split(/\s+/);
