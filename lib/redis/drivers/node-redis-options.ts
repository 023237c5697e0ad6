import { formatAddress, type Address } from '../cluster/cluster-slots.js';

/** `nodeAddressMap`: from addresses that the servers report to those that can be reached from here. */
export type AddressMap = Record<string, Address> | ((address: string) => Address | undefined);

export function mapAddress(address: Address, map: AddressMap | undefined): Address {
  const key = formatAddress(address);
  return (typeof map === 'function' ? map(key) : map?.[key]) ?? address;
}

/**
 * The options that a cluster or sentinel client of node-redis was made with. It keeps them private, but `duplicate`
 * hands them to the constructor of its prototype; so it is called on an object whose prototype has another one.
 */
export function optionsOf<T extends object>(client: { duplicate(): unknown }): Partial<T> {
  let options: Partial<T> = {};
  const recorder = Object.create(client, {
    constructor: {
      value: function (given: T) {
        options = given;
      },
    },
  }) as object;
  try {
    client.duplicate.call(Object.create(recorder));
  } catch {
    // node-redis 4 insists on its own object.
  }
  return options;
}
